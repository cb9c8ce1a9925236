//! Addresses as the kernel writes them, and std's: of Unix sockets.

use super::Address;
use crate::sys::raw::Errno;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;

/// A path, an abstract name, or nothing, in the kernel's form.
#[derive(Clone, Copy)]
pub(crate) struct UnixAddr {
    bytes: libc::sockaddr_un,
    len: libc::socklen_t,
}

/// Where the name begins.
const NAME: usize = std::mem::offset_of!(libc::sockaddr_un, sun_path);

impl Address for UnixAddr {
    const EMPTY: Self = UnixAddr {
        bytes: libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] },
        len: size_of::<libc::sockaddr_un>() as libc::socklen_t,
    };

    fn as_ptr(&self) -> *const libc::sockaddr {
        std::ptr::from_ref(&self.bytes).cast()
    }

    fn len(&self) -> libc::socklen_t {
        self.len
    }

    fn as_out(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        self.len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        (std::ptr::from_mut(&mut self.bytes).cast(), &mut self.len)
    }

    fn set_len(&mut self, len: libc::socklen_t) {
        self.len = len;
    }
}

impl UnixAddr {
    /// The address of a socket that has no name.
    pub(crate) const UNNAMED: Self = UnixAddr { len: NAME as libc::socklen_t, ..Self::EMPTY };

    /// # Errors
    /// `EAFNOSUPPORT` if it is none of a Unix socket; `EINVAL` for a path that std's type cannot hold, which is one of 108 bytes.
    pub(crate) fn to_std(self) -> Result<SocketAddr, Errno> {
        // A datagram socket without a name has no address at all.
        let len = (self.len as usize).clamp(NAME, size_of::<libc::sockaddr_un>()) - NAME;
        if len > 0 && i32::from(self.bytes.sun_family) != libc::AF_UNIX {
            return Err(Errno::AFNOSUPPORT);
        }
        let name: Vec<u8> = self.bytes.sun_path[..len].iter().map(|&byte| byte as u8).collect();
        match name.split_first() {
            Some((0, name)) => SocketAddr::from_abstract_name(name),
            // std writes no end behind an empty path, which makes the address that has no name.
            _ => SocketAddr::from_pathname(OsStr::from_bytes(name.split(|&byte| byte == 0).next().unwrap_or_default())),
        }
        .map_err(|_| Errno::INVAL)
    }
}

impl From<&SocketAddr> for UnixAddr {
    fn from(addr: &SocketAddr) -> Self {
        let mut this = Self::EMPTY;
        let (at, name) = match (addr.as_pathname(), addr.as_abstract_name()) {
            (Some(path), _) => (0, path.as_os_str().as_bytes()),
            (None, Some(name)) => (1, name),
            (None, None) => return Self::UNNAMED,
        };
        // std lets in no name that does not fit.
        for (to, &from) in this.bytes.sun_path[at..].iter_mut().zip(name) {
            *to = from as libc::c_char;
        }
        // A path ends with a zero, an abstract name has one in front.
        this.len = (NAME + name.len() + 1) as libc::socklen_t;
        this
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(addr: &SocketAddr) -> SocketAddr {
        UnixAddr::from(addr).to_std().unwrap()
    }

    #[test]
    fn addresses_survive_the_way_to_the_kernels_form_and_back() {
        for path in ["/run/x", &"p".repeat(107)] {
            let addr = SocketAddr::from_pathname(path).unwrap();
            assert_eq!(there_and_back(&addr).as_pathname().unwrap().as_os_str(), path);
        }
        for name in [&b"abstract"[..], b"with\0zeros\0", b"", &[b'n'; 107]] {
            let addr = SocketAddr::from_abstract_name(name).unwrap();
            assert_eq!(there_and_back(&addr).as_abstract_name(), Some(name));
        }
    }

    #[test]
    fn an_address_without_a_name_is_stds_without_a_name() {
        let theirs = std::os::unix::net::UnixDatagram::unbound().unwrap().local_addr().unwrap();
        assert!(theirs.is_unnamed());
        assert!(there_and_back(&theirs).is_unnamed());
        assert!(UnixAddr::UNNAMED.to_std().unwrap().is_unnamed());
        let mut none = UnixAddr::EMPTY;
        none.len = 0;
        assert!(none.to_std().unwrap().is_unnamed());
    }

    #[test]
    fn what_the_kernel_writes_beyond_the_end_is_not_read() {
        let mut long = UnixAddr::from(&SocketAddr::from_pathname("p".repeat(107)).unwrap());
        long.bytes.sun_path[107] = b'p' as libc::c_char;
        long.len += 1;
        assert_eq!(long.to_std().unwrap_err(), Errno::INVAL);
        long.bytes.sun_family = libc::AF_INET as libc::sa_family_t;
        assert_eq!(long.to_std().unwrap_err(), Errno::AFNOSUPPORT);
    }
}
