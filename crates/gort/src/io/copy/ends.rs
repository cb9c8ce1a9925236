//! Which readers and writers have a descriptor that the kernel can copy from or to.
//!
//! `copy` takes any `Read` and `Write`, as std's, and finds out by their type: a type's identity does not depend on the lifetimes in it. What has the
//! identity of `&TcpStream` is a reference to a `TcpStream`, which lives at least as long as the reader that it is.

use crate::fs;
use crate::handle::{Handle, HasHandle};
use crate::io::{PipeReader, PipeWriter};
use crate::net::{TcpStream, UnixStream};
use crate::process::{ChildStderr, ChildStdin, ChildStdout};
use std::any::TypeId;
use std::io::Take;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;

/// Where bytes come from, or go to.
pub(super) enum End<'a> {
    /// A socket or pipe.
    Stream(&'a Handle),
    /// A file of gort's, whose cursor is taken in turns, or of std's.
    File(BorrowedFd<'a>, Option<&'a fs::File>),
}

/// What has one.
pub(super) trait HasEnd {
    fn end(&self) -> End<'_>;
}

macro_rules! streams {
    ($($type:ty),*) => {$(
        impl HasEnd for $type {
            fn end(&self) -> End<'_> {
                End::Stream(self.handle())
            }
        }
    )*};
}

streams!(TcpStream, UnixStream, PipeReader, PipeWriter, ChildStdin, ChildStdout, ChildStderr);

impl HasEnd for fs::File {
    fn end(&self) -> End<'_> {
        End::File(self.as_fd(), Some(self))
    }
}

impl HasEnd for std::fs::File {
    fn end(&self) -> End<'_> {
        End::File(self.as_fd(), None)
    }
}

impl<T: HasEnd> HasEnd for &T {
    fn end(&self) -> End<'_> {
        T::end(self)
    }
}

impl<T: HasEnd> HasEnd for &mut T {
    fn end(&self) -> End<'_> {
        T::end(self)
    }
}

/// A reader that has an end, and gives so many bytes of it.
pub(super) trait Limited {
    fn limit(&self) -> u64;
    fn set_limit(&mut self, limit: u64);
    fn end(&self) -> End<'_>;
}

impl<R: HasEnd> Limited for Take<R> {
    fn limit(&self) -> u64 {
        self.limit()
    }

    fn set_limit(&mut self, limit: u64) {
        self.set_limit(limit);
    }

    fn end(&self) -> End<'_> {
        self.get_ref().end()
    }
}

/// The identity of a type, whatever lifetimes are in it.
fn identity<T: ?Sized>() -> TypeId {
    trait Identity {
        fn get(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T: ?Sized> Identity for PhantomData<T> {
        fn get(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let marker = PhantomData::<T>;
    let marker: &dyn Identity = &marker;
    // SAFETY: only the bound of the trait object changes, and nothing of the type is used but its identity.
    unsafe { std::mem::transmute::<&dyn Identity, &(dyn Identity + 'static)>(marker) }.get()
}

/// `value` as what it is, if that is a `T`, or would be one with other lifetimes.
fn seen_as<T, V: ?Sized>(value: &mut V) -> Option<&mut T> {
    // SAFETY: the type is what is read there. Lifetimes are shorter than they are: what is done with the value as a `T` puts nothing into it that has one.
    (identity::<T>() == identity::<V>()).then(|| unsafe { &mut *ptr::from_mut(value).cast::<T>() })
}

macro_rules! known {
    ($value:ident: $($type:ty),*) => {
        /// The end that `value` is, or refers to.
        pub(super) fn end_of<V: ?Sized>($value: &mut V) -> Option<&dyn HasEnd> {
            $(
                // Looked at before, since a borrow that may be returned lasts for all that follows.
                if identity::<V>() == identity::<$type>() {
                    return seen_as::<$type, V>($value).map(|end| end as &dyn HasEnd);
                }
                if identity::<V>() == identity::<&$type>() {
                    return seen_as::<&$type, V>($value).map(|end| end as &dyn HasEnd);
                }
                if identity::<V>() == identity::<&mut $type>() {
                    return seen_as::<&mut $type, V>($value).map(|end| end as &dyn HasEnd);
                }
            )*
            None
        }

        /// The reader with a limit that `value` is.
        pub(super) fn limited<V: ?Sized>($value: &mut V) -> Option<&mut dyn Limited> {
            $(
                if identity::<V>() == identity::<Take<$type>>() {
                    return seen_as::<Take<$type>, V>($value).map(|end| end as &mut dyn Limited);
                }
                if identity::<V>() == identity::<Take<&$type>>() {
                    return seen_as::<Take<&$type>, V>($value).map(|end| end as &mut dyn Limited);
                }
                if identity::<V>() == identity::<Take<&mut $type>>() {
                    return seen_as::<Take<&mut $type>, V>($value).map(|end| end as &mut dyn Limited);
                }
            )*
            None
        }
    };
}

known!(value: TcpStream, UnixStream, PipeReader, PipeWriter, ChildStdin, ChildStdout, ChildStderr, fs::File, std::fs::File);
