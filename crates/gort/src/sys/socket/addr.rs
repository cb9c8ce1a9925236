//! Addresses as the kernel writes them, and std's: of the internet.

use crate::sys::raw::Errno;
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// An address in the kernel's form, of some family.
pub(crate) trait Address: Copy {
    /// Room for an answer of the kernel.
    const EMPTY: Self;

    fn as_ptr(&self) -> *const libc::sockaddr;

    fn len(&self) -> libc::socklen_t;

    /// Where the kernel may write the address, and the room there, which it replaces by the length of what it had to say.
    fn as_out(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t);

    /// What the kernel has said of the length, where it did so elsewhere.
    fn set_len(&mut self, len: libc::socklen_t);
}

/// An IPv4 or IPv6 address in the kernel's form. 28 bytes instead of `sockaddr_storage`'s 128: it is on the stack of every accept.
#[derive(Clone, Copy)]
pub(crate) struct SockAddr {
    bytes: Bytes,
    len: libc::socklen_t,
}

/// All variants begin with the family, and every bit pattern is valid for each of them.
#[derive(Clone, Copy)]
#[repr(C)]
union Bytes {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Address for SockAddr {
    const EMPTY: Self = {
        let none = libc::sockaddr_in6 {
            sin6_family: libc::AF_UNSPEC as libc::sa_family_t,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        };
        SockAddr { bytes: Bytes { v6: none }, len: size_of::<Bytes>() as libc::socklen_t }
    };

    fn as_ptr(&self) -> *const libc::sockaddr {
        std::ptr::from_ref(&self.bytes).cast()
    }

    fn len(&self) -> libc::socklen_t {
        self.len
    }

    fn as_out(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        self.len = size_of::<Bytes>() as libc::socklen_t;
        (std::ptr::from_mut(&mut self.bytes).cast(), &mut self.len)
    }

    fn set_len(&mut self, len: libc::socklen_t) {
        self.len = len;
    }
}

impl SockAddr {
    /// # Errors
    /// `EAFNOSUPPORT` if it is neither IPv4 nor IPv6.
    pub(crate) fn to_std(self) -> Result<SocketAddr, Errno> {
        // SAFETY: all bytes are initialised (`EMPTY` and both `From`s fill the largest variant) and valid as any variant.
        let (family, v4, v6) = unsafe { (self.bytes.family, self.bytes.v4, self.bytes.v6) };
        match i32::from(family) {
            libc::AF_INET if self.len as usize >= size_of::<libc::sockaddr_in>() => Ok(SocketAddr::V4(
                SocketAddrV4::new(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()), u16::from_be(v4.sin_port)),
            )),
            libc::AF_INET6 if self.len as usize >= size_of::<libc::sockaddr_in6>() => {
                Ok(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(v6.sin6_addr.s6_addr),
                    u16::from_be(v6.sin6_port),
                    v6.sin6_flowinfo,
                    v6.sin6_scope_id,
                )))
            }
            _ => Err(Errno::AFNOSUPPORT),
        }
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(addr: SocketAddr) -> SockAddr {
        let mut this = SockAddr::EMPTY;
        match addr {
            SocketAddr::V4(addr) => {
                this.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                this.bytes.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: addr.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(addr.ip().octets()) },
                    sin_zero: [0; 8],
                };
            }
            // Flow information and scope are passed as they are, as std does.
            SocketAddr::V6(addr) => {
                this.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
                this.bytes.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: addr.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                    sin6_scope_id: addr.scope_id(),
                };
            }
        }
        this
    }
}

impl fmt::Debug for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_std() {
            Ok(addr) => addr.fmt(f),
            Err(_) => f.write_str("(no internet address)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_the_kernels_form_and_back() {
        let v6 = SocketAddrV6::new("fe80::1:2".parse().unwrap(), 8080, 0x0102_0304, 7);
        for addr in [
            "127.0.0.1:80".parse().unwrap(),
            "255.254.253.252:65535".parse().unwrap(),
            "[::1]:1".parse().unwrap(),
            SocketAddr::V6(v6),
        ] {
            assert_eq!(SockAddr::from(addr).to_std(), Ok(addr));
        }
    }

    #[test]
    fn bytes_stand_in_network_order() {
        let addr = SockAddr::from("1.2.3.4:258".parse::<SocketAddr>().unwrap());
        // SAFETY: 8 bytes of an initialised value that is longer.
        let bytes = unsafe { std::slice::from_raw_parts(addr.as_ptr().cast::<u8>(), 8) };
        assert_eq!(bytes[2..], [1, 2, 1, 2, 3, 4]);
    }

    #[test]
    fn what_is_no_internet_address_is_refused() {
        assert_eq!(SockAddr::EMPTY.to_std(), Err(Errno::AFNOSUPPORT));
        let mut short = SockAddr::from("1.2.3.4:1".parse::<SocketAddr>().unwrap());
        short.len = 2;
        assert_eq!(short.to_std(), Err(Errno::AFNOSUPPORT));
    }
}
