//! The grammar of `select!`.
//!
//! Arms are read one after the other (`@read`), each gets a name and a number from a list (`@name`), and the whole is written out (`@write`).
//! Before the chosen arm's body runs, the operation is complete and all of them have let go of their channels, so that a body may do with the
//! channels what it likes.

/// Waits for the first of several operations, does that one and no other.
///
/// ```text
/// recv(receiver) -> result => body,      result: Result<T, RecvError>
/// send(sender, value) -> result => body, result: Result<(), SendError<T>>
/// join(handle) -> result => body,        result: std::thread::Result<T>; the handle is borrowed: `let mut handle`
/// default => body,                       if none can go on at once
/// default(timeout) => body,              if none could in time
/// ```
///
/// Up to 32 operations, and one `default`. If several can go on at once, each is as likely ([`select_biased!`](crate::select_biased) takes the
/// first). What comes in parentheses is evaluated once, but for a value to send: that is made only when its operation has been chosen, so the
/// others lose nothing. Without arms it waits for ever.
///
/// **Make values quickly.** In a [rendezvous](crate::chan::bounded) the chosen `send` has a receiver, which waits until its value is made: as one arm
/// and no other is done, it cannot leave, not even when its own time is over. So a `try_recv`, a `default`, a `recv_timeout` or a `recv_ctx` at the
/// other end lasts at least as long as the value's expression, and a `close` does not reach that receiver. A value that takes long to make is better
/// made before the `select!`. In a channel with room the value gets a place there, and nobody waits for it.
///
/// A `join` borrows its handle mutably and takes the result out when the goroutine has ended; a handle that has lost can be joined as before. One
/// whose result has been taken is never ready again, so a loop needs no case less for it.
///
/// Allocates nothing up to 16 operations.
///
/// # Panics
/// With more than 32 operations it does not compile.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let (s1, r1) = gort::chan::bounded(0);
/// let (s2, r2) = gort::chan::bounded::<&str>(0);
/// gort::go(move || s1.send(1).unwrap());
/// gort::select! {
///     recv(r1) -> number => assert_eq!(number, Ok(1)),
///     recv(r2) -> text => println!("{text:?}"),
///     default(Duration::from_secs(10)) => panic!("nobody sent anything"),
/// }
/// drop(s2);
/// ```
///
/// In a loop, with a value that is moved only if it is sent:
/// ```
/// let (s1, r1) = gort::chan::bounded(1);
/// let (s2, r2) = gort::chan::bounded(1);
/// let text = String::from("to whom it may concern");
/// gort::select! {
///     send(s1, text) -> sent => sent.unwrap(),
///     send(s2, text) -> sent => sent.unwrap(),
/// }
/// assert_eq!(r1.len() + r2.len(), 1);
/// ```
///
/// What Go writes as channels: times, the end of a context, and the end of a goroutine.
/// ```
/// use std::time::Duration;
/// let (ctx, cancel) = gort::context::background().with_cancel();
/// let ticks = gort::chan::tick(Duration::from_millis(1));
/// let mut quick = gort::go(|| "done");
/// let mut slow = gort::go(move || {
///     gort::sleep(Duration::from_millis(20));
///     cancel.cancel();
/// });
/// let late = gort::chan::after(Duration::from_secs(10));
/// loop {
///     gort::select! {
///         join(quick) -> result => assert_eq!(result.unwrap(), "done"),
///         join(slow) -> result => result.unwrap(),
///         recv(ctx.done()) -> _ => break,
///         recv(ticks) -> now => println!("still waiting at {:?}", now.unwrap()),
///         recv(late) -> _ => panic!("nothing happened"),
///     }
/// }
/// ```
///
/// What does not compile: a second `default`, and an operation without a place for its result.
/// ```compile_fail
/// gort::select! {
///     default => (),
///     default => (),
/// }
/// ```
/// ```compile_fail
/// let (_s, r) = gort::chan::bounded::<u8>(0);
/// gort::select! {
///     recv(r) => (),
/// }
/// ```
/// ```compile_fail
/// let (s, _r) = gort::chan::bounded::<u8>(0);
/// gort::select! {
///     send(s, 1) => (),
/// }
/// ```
/// ```compile_fail
/// let mut handle = gort::go(|| ());
/// gort::select! {
///     join(handle) => (),
/// }
/// ```
#[macro_export]
macro_rules! select {
    ($($arms:tt)*) => { $crate::__select!(@read false () () $($arms)*) };
}

/// As [`select!`](crate::select), but of several operations that can go on the first one is done.
///
/// # Examples
/// ```
/// let (s1, r1) = gort::chan::unbounded();
/// let (s2, r2) = gort::chan::unbounded();
/// s1.send(1).unwrap();
/// s2.send(2).unwrap();
/// gort::select_biased! {
///     recv(r1) -> number => assert_eq!(number, Ok(1)),
///     recv(r2) -> _ => unreachable!("the first is ready"),
/// }
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($arms:tt)*) => { $crate::__select!(@read true () () $($arms)*) };
}

/// See `select!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // Reading: (biased) (arms read) (default read) what is left.
    (@read $biased:tt $arms:tt $default:tt) => {
        $crate::__select!(@name $biased () $arms $default
            (a0 0) (a1 1) (a2 2) (a3 3) (a4 4) (a5 5) (a6 6) (a7 7) (a8 8) (a9 9) (a10 10) (a11 11) (a12 12) (a13 13) (a14 14) (a15 15)
            (a16 16) (a17 17) (a18 18) (a19 19) (a20 20) (a21 21) (a22 22) (a23 23) (a24 24) (a25 25) (a26 26) (a27 27) (a28 28)
            (a29 29) (a30 30) (a31 31))
    };

    (@read $biased:tt ($($arms:tt)*) $default:tt recv($r:expr $(,)?) -> $result:pat => $body:block, $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (recv ($r) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt recv($r:expr $(,)?) -> $result:pat => $body:block $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (recv ($r) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt recv($r:expr $(,)?) -> $result:pat => $body:expr, $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (recv ($r) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt recv($r:expr $(,)?) -> $result:pat => $body:expr) => {
        $crate::__select!(@read $biased ($($arms)* (recv ($r) ($result) ($body))) $default)
    };

    (@read $biased:tt ($($arms:tt)*) $default:tt send($s:expr, $m:expr $(,)?) -> $result:pat => $body:block, $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (send ($s, $m) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt send($s:expr, $m:expr $(,)?) -> $result:pat => $body:block $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (send ($s, $m) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt send($s:expr, $m:expr $(,)?) -> $result:pat => $body:expr, $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (send ($s, $m) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt send($s:expr, $m:expr $(,)?) -> $result:pat => $body:expr) => {
        $crate::__select!(@read $biased ($($arms)* (send ($s, $m) ($result) ($body))) $default)
    };

    (@read $biased:tt ($($arms:tt)*) $default:tt join($h:expr $(,)?) -> $result:pat => $body:block, $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (join ($h) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt join($h:expr $(,)?) -> $result:pat => $body:block $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (join ($h) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt join($h:expr $(,)?) -> $result:pat => $body:expr, $($rest:tt)*) => {
        $crate::__select!(@read $biased ($($arms)* (join ($h) ($result) ($body))) $default $($rest)*)
    };
    (@read $biased:tt ($($arms:tt)*) $default:tt join($h:expr $(,)?) -> $result:pat => $body:expr) => {
        $crate::__select!(@read $biased ($($arms)* (join ($h) ($result) ($body))) $default)
    };

    (@read $biased:tt $arms:tt () default $(())? => $($rest:tt)*) => {
        $crate::__select!(@default $biased $arms ($crate::chan::__private::Limit::NotAtAll) $($rest)*)
    };
    (@read $biased:tt $arms:tt () default($timeout:expr $(,)?) => $($rest:tt)*) => {
        $crate::__select!(@default $biased $arms ($crate::chan::__private::Limit::For($timeout)) $($rest)*)
    };
    (@default $biased:tt $arms:tt $limit:tt $body:block, $($rest:tt)*) => {
        $crate::__select!(@read $biased $arms ($limit ($body)) $($rest)*)
    };
    (@default $biased:tt $arms:tt $limit:tt $body:block $($rest:tt)*) => {
        $crate::__select!(@read $biased $arms ($limit ($body)) $($rest)*)
    };
    (@default $biased:tt $arms:tt $limit:tt $body:expr, $($rest:tt)*) => {
        $crate::__select!(@read $biased $arms ($limit ($body)) $($rest)*)
    };
    (@default $biased:tt $arms:tt $limit:tt $body:expr) => {
        $crate::__select!(@read $biased $arms ($limit ($body)))
    };

    // What cannot be read.
    (@read $biased:tt $arms:tt ($($default:tt)+) default $($rest:tt)*) => {
        ::core::compile_error!("select!: there is more than one `default`")
    };
    (@read $biased:tt $arms:tt $default:tt recv($($r:tt)*) => $($rest:tt)*) => {
        ::core::compile_error!("select!: `recv(receiver)` lacks its result: `recv(receiver) -> result => …`")
    };
    (@read $biased:tt $arms:tt $default:tt send($($s:tt)*) => $($rest:tt)*) => {
        ::core::compile_error!("select!: `send(sender, value)` lacks its result: `send(sender, value) -> result => …`")
    };
    (@read $biased:tt $arms:tt $default:tt join($($h:tt)*) => $($rest:tt)*) => {
        ::core::compile_error!("select!: `join(handle)` lacks its result: `join(handle) -> result => …`")
    };
    (@read $biased:tt $arms:tt $default:tt $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "select!: expected `recv(receiver) -> result => body`, `send(sender, value) -> result => body`, ",
            "`join(handle) -> result => body`, `default => body` or `default(timeout) => body`, each followed by a comma, at: ",
            ::core::stringify!($($rest)+)
        ))
    };

    // Naming: an operation takes a name and a number.
    (@name $biased:tt ($($named:tt)*) () $default:tt $($names:tt)*) => {
        $crate::__select!(@write $biased ($($named)*) $default)
    };
    (@name $biased:tt ($($named:tt)*) ($arm:tt $($arms:tt)*) $default:tt ($name:ident $number:tt) $($names:tt)*) => {
        $crate::__select!(@name $biased ($($named)* ($name $number $arm)) ($($arms)*) $default $($names)*)
    };
    (@name $biased:tt $named:tt ($arm:tt $($arms:tt)*) $default:tt) => {
        ::core::compile_error!("select!: more than 32 operations; use `gort::chan::Select`")
    };

    // Writing.
    (@write $biased:tt () ()) => {
        match $crate::chan::__private::select(
            &[],
            $crate::chan::__private::Limit::ForEver,
            $crate::chan::__private::Manner { biased: $biased, news: false },
        ) {
            _ => ::core::unreachable!("a select! without arms waits for ever"),
        }
    };
    (@write $biased:tt ($(($name:ident $number:tt $arm:tt))*) ()) => {
        $crate::__select!(@write_all $biased ($(($name $number $arm))*) ($($name)*)
            ($crate::chan::__private::Limit::ForEver) (::core::unreachable!("a select! without default chooses an operation")))
    };
    (@write $biased:tt ($(($name:ident $number:tt $arm:tt))*) ($limit:tt $body:tt)) => {
        $crate::__select!(@write_all $biased ($(($name $number $arm))*) ($($name)*) $limit $body)
    };
    (@write_all $biased:tt ($(($name:ident $number:tt ($kind:ident $operands:tt ($result:pat) ($body:expr))))*) $all:tt ($limit:expr) ($default:expr)) => {{
        // Temporaries in the operands live until the bodies are over.
        match ($($crate::__select!(@operand $kind $operands),)*) {
            ($($name,)*) => {
                $($crate::__select!(@arm $kind $name);)*
                let limit = $limit;
                let chosen = if $crate::chan::__private::is_hopeless(&limit, || [$($crate::chan::__private::Arm::look(&$name)),*]) {
                    ::core::option::Option::None
                } else {
                    $crate::chan::__private::select(
                        &[$(&mut $name as &mut dyn $crate::chan::__private::Arm),*],
                        limit,
                        $crate::chan::__private::Manner { biased: $biased, news: false },
                    )
                };
                match chosen {
                    $(::core::option::Option::Some($number) => {
                        let done = $crate::__select!(@finish $kind $operands $name);
                        $crate::__select!(@drop $all);
                        let $result = done;
                        $body
                    })*
                    _ => {
                        $crate::__select!(@drop $all);
                        $default
                    }
                }
            }
        }
    }};
    (@operand recv ($r:expr)) => { &$r };
    (@operand send ($s:expr, $m:expr)) => { &$s };
    (@operand join ($h:expr)) => { &mut $h };
    (@arm recv $name:ident) => { let mut $name = $crate::chan::__private::RecvArm::new($name); };
    (@arm send $name:ident) => { let mut $name = $crate::chan::__private::SendArm::new($name); };
    (@arm join $name:ident) => { let mut $name = $crate::chan::__private::JoinArm::new($name.__share()); };
    (@finish recv ($r:expr) $name:ident) => { $name.take() };
    (@finish join ($h:expr) $name:ident) => { $name.take() };
    (@finish send ($s:expr, $m:expr) $name:ident) => { $name.send($m) };
    (@drop ($($name:ident)*)) => { $(::core::mem::drop($name);)* };
}
