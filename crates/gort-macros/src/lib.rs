//! The attribute macros of gort, to be used as `#[gort::main]` and `#[gort::test]`.
//!
//! They need a few tokens of a function, not its syntax tree, hence no parser crate underneath. Three steps, each on its own file:
//! `options` reads what stands in the attribute's brackets, `function` finds the parts of the function and refuses what cannot be one,
//! `expand` puts the result together. They work on the small tokens of `token`, so that unit tests can run them; only this file knows
//! `proc_macro`.
//!
//! The expansions call `::gort::__private`, which is not for anybody else and changes with these macros. `tests/expansion.rs` compiles and
//! runs them against a stand-in for it; the examples in the documentation of the `gort` crate run them against the runtime.

mod expand;
mod function;
mod options;
mod token;

use expand::Piece;
use function::{Attribute, Function};
use options::{MainOptions, TestOptions};
use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use token::{Brackets, Error, Kind, Token};

/// Runs `main` as the first goroutine; when it returns the process ends, as in Go, whatever other goroutines do.
///
/// `main` is a plain `fn` without parameters and returns anything that std's `main` may return. With the attribute alone the program also gets
/// gort's allocator as its `#[global_allocator]`: a small cache of memory blocks per thread in front of the system's allocator, without
/// which every goroutine that allocates fills a cache of its own.
///
/// Options, with commas between:
/// - `allocator = none`: leaves the global allocator alone. Needed if the program sets one itself.
/// - `require = migrating`: ends the program at the start, with the reason, where goroutines cannot move between threads.
/// - `procs = N`: how many goroutines run at the same time, 1..=1024. The environment variable `GORT_MAXPROCS` has precedence.
/// - `max_threads = N`: the most threads gort starts, 4..=16384. `GORT_MAX_THREADS` has precedence.
/// - `stack_size = N`: bytes of address space for a goroutine's stack, 64 KiB to 1 GiB. `GORT_STACK_SIZE` has precedence.
///
/// `N` is any constant expression, such as `1 << 20`.
///
/// What becomes of `fn main() -> T { body }`:
///
/// ```text
/// #[global_allocator]
/// static __GORT_ALLOCATOR: ::gort::alloc::Global<::std::alloc::System> = ::gort::alloc::Global::new(::std::alloc::System);
///
/// fn main() -> impl ::std::process::Termination {
///     fn __gort_body() -> T { body }
///     ::gort::__private::main(::gort::__private::Options { procs: None, .. }, __gort_body)
/// }
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let (arguments, item_trees) = (tokens(arguments), trees(item));
    let item = item_trees.iter().map(to_token).collect::<Vec<_>>();
    let function = match Function::parse(&item, Attribute::Main, Span::call_site()) {
        Ok(function) => function,
        // With a main of some kind, so that its absence is not a second error.
        Err(error) => return [compile_error(error), code("fn main() {}", None)].into_iter().collect(),
    };
    match MainOptions::parse(&arguments) {
        Ok(options) => assemble(expand::main(options, &function, &item), &item_trees).collect(),
        Err(error) => compile_error(error).into_iter().chain(item_trees).collect(),
    }
}

/// A test that runs as a goroutine, with a time limit after which it prints every goroutine and fails.
///
/// The function is a plain `fn` without parameters and returns anything that a test may return; `#[should_panic]`, `#[ignore]` and
/// other attributes stay. The tests of a process run one after the other, each with a runtime of the size it asks for.
///
/// Options, with commas between:
/// - `procs = N` or `procs = [1, 2, 4]`: runs the test with so many goroutines at the same time, once for each number.
/// - `timeout = "30s"`, `"2m"` or `30`: the time limit of each run, in whole seconds; 30 s without it. `GORT_TEST_TIMEOUT` has precedence.
///
/// Beyond what `#[test]` does:
/// - **Leaks fail.** Within 5 seconds after the function has returned, every goroutine and thread that it started must have ended and every descriptor
///   that it opened must be closed; else the test fails and says what is left, with every goroutine.
/// - **Output is not captured.** The harness captures what its own thread prints; goroutines run on other threads, so what they print, panics
///   included, appears at once, between the lines of other tests.
/// - **The time limit ends the process**, by abort: a goroutine cannot be ended from outside, and whatever it holds would make the tests behind it hang.
///   Tests that have not run yet do not run, and those that failed before are not listed by the harness.
///
/// With `GORT_PERTURB=move` each wait of a goroutine ends on another thread of the kernel's: so a crate's tests show whether it cares on which it runs.
/// The guide (docs/GUIDE.md) has an example.
///
/// What becomes of `fn name() -> T { body }`:
///
/// ```text
/// #[::core::prelude::v1::test]
/// fn name() -> T {
///     fn __gort_body() -> T { body }
///     ::gort::__private::test(::gort::__private::TestOptions { name: "module::name", procs: &[1, 2, 4], .. }, __gort_body)
/// }
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let (arguments, item_trees) = (tokens(arguments), trees(item));
    let item = item_trees.iter().map(to_token).collect::<Vec<_>>();
    let parsed = Function::parse(&item, Attribute::Test, Span::call_site());
    match parsed.and_then(|function| Ok((function, TestOptions::parse(&arguments)?))) {
        Ok((function, options)) => assemble(expand::test(options, &function, &item), &item_trees).collect(),
        Err(error) => compile_error(error),
    }
}

fn trees(stream: TokenStream) -> Vec<TokenTree> {
    stream.into_iter().collect()
}

fn tokens(stream: TokenStream) -> Vec<Token<Span>> {
    stream.into_iter().map(|tree| to_token(&tree)).collect()
}

fn to_token(tree: &TokenTree) -> Token<Span> {
    let kind = match tree {
        TokenTree::Ident(ident) => Kind::Ident(ident.to_string()),
        TokenTree::Punct(punct) => Kind::Punct(punct.as_char(), punct.spacing() == Spacing::Joint),
        TokenTree::Literal(literal) => Kind::Literal(literal.to_string()),
        TokenTree::Group(group) => {
            let brackets = match group.delimiter() {
                Delimiter::Parenthesis => Brackets::Round,
                Delimiter::Bracket => Brackets::Square,
                Delimiter::Brace => Brackets::Curly,
                Delimiter::None => Brackets::Invisible,
            };
            Kind::Group(brackets, tokens(group.stream()))
        }
    };
    Token { kind, span: tree.span() }
}

fn from_token(token: Token<Span>) -> TokenTree {
    let mut tree: TokenTree = match token.kind {
        Kind::Ident(name) => match name.strip_prefix("r#") {
            Some(raw) => Ident::new_raw(raw, token.span).into(),
            None => Ident::new(&name, token.span).into(),
        },
        Kind::Punct(punct, joint) => Punct::new(punct, if joint { Spacing::Joint } else { Spacing::Alone }).into(),
        Kind::Literal(text) => text.parse::<Literal>().expect("it was a literal before").into(),
        Kind::Group(brackets, inside) => {
            Group::new(delimiter(brackets), inside.into_iter().map(from_token).collect()).into()
        }
    };
    tree.set_span(token.span);
    tree
}

fn delimiter(brackets: Brackets) -> Delimiter {
    match brackets {
        Brackets::Round => Delimiter::Parenthesis,
        Brackets::Square => Delimiter::Bracket,
        Brackets::Curly => Delimiter::Brace,
        Brackets::Invisible => Delimiter::None,
    }
}

fn assemble(pieces: Vec<Piece<Span>>, input: &[TokenTree]) -> impl Iterator<Item = TokenStream> {
    pieces.into_iter().map(|piece| match piece {
        Piece::Code(text) => code(&text, None),
        Piece::CodeAt(text, span) => code(&text, Some(span)),
        Piece::Input(range) => input[range].iter().cloned().collect(),
        Piece::Expression(tokens) => tokens.into_iter().map(from_token).collect(),
        Piece::Group(brackets, inside) => {
            TokenTree::from(Group::new(delimiter(brackets), assemble(inside, input).collect())).into()
        }
    })
}

/// Our text as tokens; names in it mean what they mean at the attribute, messages about it point to `at`.
fn code(text: &str, at: Option<Span>) -> TokenStream {
    let stream: TokenStream = text.parse().expect("the text of an expansion consists of tokens");
    match at {
        None => stream,
        Some(span) => stream
            .into_iter()
            .map(|mut tree| {
                tree.set_span(Span::call_site().located_at(span));
                tree
            })
            .collect(),
    }
}

fn compile_error(error: Error<Span>) -> TokenStream {
    let message = TokenTree::from(Literal::string(&error.message));
    let inside: TokenStream = message.into();
    let call = [
        code("::core::compile_error!", None),
        TokenTree::from(Group::new(Delimiter::Brace, respan(inside, error.span))).into(),
    ];
    respan(call.into_iter().collect(), error.span)
}

fn respan(stream: TokenStream, span: Span) -> TokenStream {
    stream
        .into_iter()
        .map(|mut tree| {
            tree.set_span(span);
            tree
        })
        .collect()
}
