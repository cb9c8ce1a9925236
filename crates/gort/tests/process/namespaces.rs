//! Children in user, mount and network namespaces of their own, where files can be hidden and ports are free.

use crate::child::Case;
use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What lies over the file system.
#[derive(Clone)]
pub(crate) enum Mounts {
    /// This file, over the configuration of the resolver.
    ResolvConf(CString),
    /// Nothing, over `/proc`.
    NoProc,
}

#[derive(Clone)]
pub(crate) struct Namespaces {
    mounts: Mounts,
    users: String,
    groups: String,
}

impl Namespaces {
    pub(crate) fn with(mounts: Mounts) -> Self {
        // SAFETY: cannot fail.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        Self { mounts, users: format!("0 {user} 1"), groups: format!("0 {group} 1") }
    }

    /// The case in such namespaces; an error where they are not to be had.
    pub(crate) fn around(self, case: Case) -> io::Result<Case> {
        let (mut first, mut second) = (self.clone(), self);
        let mut probe = Command::new("true");
        // SAFETY: `enter` makes system calls only.
        unsafe {
            probe.pre_exec(move || first.enter());
            probe.status()?;
            Ok(case.before_exec(move || second.enter()))
        }
    }

    /// Nothing but system calls on what is there: this runs between fork and exec.
    fn enter(&mut self) -> io::Result<()> {
        let nothing: *const c_char = std::ptr::null();
        let no_data = std::ptr::null();
        // SAFETY: texts that end; `request` is a live `ifreq`.
        unsafe {
            checked(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET))?;
            write(c"/proc/self/setgroups", b"deny")?;
            write(c"/proc/self/uid_map", self.users.as_bytes())?;
            write(c"/proc/self/gid_map", self.groups.as_bytes())?;
            checked(libc::mount(nothing, c"/".as_ptr(), nothing, libc::MS_REC | libc::MS_PRIVATE, no_data))?;
            match &self.mounts {
                Mounts::ResolvConf(file) => {
                    let target = c"/etc/resolv.conf".as_ptr();
                    checked(libc::mount(file.as_ptr(), target, nothing, libc::MS_BIND, no_data))?;
                }
                Mounts::NoProc => {
                    let empty = c"tmpfs".as_ptr();
                    checked(libc::mount(empty, c"/proc".as_ptr(), empty, 0, no_data))?;
                }
            }
            // The loopback of the new network is down.
            let socket = checked(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
            let mut request: libc::ifreq = std::mem::zeroed();
            (request.ifr_name[0], request.ifr_name[1]) = (b'l' as c_char, b'o' as c_char);
            request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
            checked(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request))?;
            libc::close(socket);
        }
        Ok(())
    }
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn write(path: &CStr, text: &[u8]) -> io::Result<()> {
    // SAFETY: live bytes, a descriptor of our own.
    unsafe {
        let fd = checked(libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC))?;
        let written = libc::write(fd, text.as_ptr().cast(), text.len());
        libc::close(fd);
        checked(written as c_int)?;
    }
    Ok(())
}
