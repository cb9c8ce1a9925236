//! Accepting on several listeners with one OS thread, for the styles without goroutines.
//!
//! One thread accepts and hands the connections out. Rejected for the epoll style: every loop accepting for itself, by a listener
//! they share (EPOLLEXCLUSIVE wakes the same loop again and again) or by SO_REUSEPORT (the kernel deals by hash): both leave the
//! loops with unequal loads, and this server is the yardstick. The thread sleeps once everybody is connected.

use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::alarm::Alarm;
use super::{ACCEPT_PAUSE, out_of_descriptors, say_paused};
use crate::limits::no_thread;

/// The accepting thread.
#[derive(Debug)]
pub struct Acceptor {
    thread: Option<JoinHandle<()>>,
    stop: Arc<OwnedFd>,
}

impl Acceptor {
    /// Starts accepting; every connection goes to `deal`, which may end it all.
    pub fn start(
        listeners: Vec<TcpListener>,
        alarm: &Alarm,
        deal: impl FnMut(TcpStream) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Acceptor> {
        for listener in &listeners {
            listener.set_nonblocking(true).context("cannot make a listener non-blocking")?;
        }
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).context("cannot make an eventfd")?);
        let (alarm, told) = (alarm.clone(), stop.clone());
        let accepting = move || {
            if let Err(error) = accept_all(&listeners, &told, deal) {
                alarm.ring(error);
            }
        };
        let thread =
            Builder::new().name("accept".into()).spawn(accepting).map_err(|e| no_thread("the accepting thread", &e))?;
        Ok(Acceptor { thread: Some(thread), stop })
    }

    /// Accepts no more; the listeners are closed when this returns.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
            let _ = thread.join();
        }
    }
}

fn accept_all(
    listeners: &[TcpListener],
    stop: &OwnedFd,
    mut deal: impl FnMut(TcpStream) -> ControlFlow<()>,
) -> Result<()> {
    let mut paused_before = false;
    let mut fds: Vec<PollFd<'_>> = vec![PollFd::new(stop, PollFlags::IN)];
    fds.extend(listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)));
    loop {
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for connections"),
        }
        if !fds[0].revents().is_empty() {
            return Ok(());
        }
        let ready = listeners.iter().zip(&fds[1..]).filter(|(_, fd)| !fd.revents().is_empty());
        for (listener, _) in ready {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => {
                        if deal(stream).is_break() {
                            return Ok(());
                        }
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(e) if out_of_descriptors(&e) => {
                        if !std::mem::replace(&mut paused_before, true) {
                            say_paused(&e);
                        }
                        pause(stop);
                        break;
                    }
                    // The peer gave up before we came to it: not our trouble, the next one may be fine.
                    Err(e) if e.kind() == std::io::ErrorKind::ConnectionAborted => {}
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e).context("cannot accept"),
                }
            }
        }
    }
}

/// Waits a little, or until told to stop.
fn pause(stop: &OwnedFd) {
    let limit = Timespec::try_from(ACCEPT_PAUSE.max(Duration::from_millis(1))).ok();
    let _ = poll(&mut [PollFd::new(stop, PollFlags::IN)], limit.as_ref());
}
