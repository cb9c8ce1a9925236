//! Where to listen or to connect: `IP:PORT` or `NAME:PORT`, resolved while the command line is read.
//!
//! A name may stand for several addresses (`localhost` often is `::1` and `127.0.0.1`): the first that works is taken, as std does.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};

/// A place on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    text: String,
    addrs: Vec<SocketAddr>,
}

impl Place {
    /// For clap.
    pub fn parse(text: &str) -> Result<Place, String> {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(addr.into());
        }
        let expected = "expected IP:PORT or NAME:PORT, such as 127.0.0.1:7000, [::1]:7000 or localhost:7000";
        let has_port =
            text.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok());
        if !has_port {
            return Err(expected.into());
        }
        let addrs: Vec<_> = text.to_socket_addrs().map_err(|e| format!("{e} ({expected})"))?.collect();
        if addrs.is_empty() {
            return Err(format!("the name has no address ({expected})"));
        }
        Ok(Place { text: text.to_owned(), addrs })
    }

    /// Its addresses, in the order to be tried; at least one.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }
}

impl From<SocketAddr> for Place {
    fn from(addr: SocketAddr) -> Place {
        Place { text: addr.to_string(), addrs: vec![addr] }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_places_and_what_is_missing_is_said() {
        assert_eq!(Place::parse("127.0.0.1:7000").unwrap().addrs(), ["127.0.0.1:7000".parse().unwrap()]);
        assert_eq!(Place::parse("[::1]:7000").unwrap().addrs(), ["[::1]:7000".parse().unwrap()]);
        let named = Place::parse("localhost:7000").unwrap();
        assert!(named.addrs().iter().all(|addr| addr.ip().is_loopback() && addr.port() == 7000), "{named:?}");
        assert_eq!(named.to_string(), "localhost:7000");
        for bad in ["nowhere", "127.0.0.1", ":7000", "localhost:", "localhost:70000", "no such name:1"] {
            assert!(Place::parse(bad).unwrap_err().contains("IP:PORT"), "{bad}");
        }
    }
}
