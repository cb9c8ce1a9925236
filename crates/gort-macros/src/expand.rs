//! What the attributes turn a function into, as pieces of text and of the input.
//!
//! The user's body becomes a function inside the function, so that `return` and `?` keep their meaning, and its tokens are passed on
//! untouched, so that the compiler's messages point where they should. The inner function has a name nobody writes: items of a block hide those
//! outside of it, and a body may well call a function of its own that is called `inner`.

use crate::{
    function::Function,
    options::{Expression, MainOptions, TestOptions},
    token::{Brackets, Token},
};
use std::ops::Range;

/// A part of the expansion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece<S> {
    /// Our text, with brackets in pairs.
    Code(String),
    /// The same, but mistakes found in it are shown at a place of the input.
    CodeAt(String, S),
    /// Tokens of the function, as they came.
    Input(Range<usize>),
    /// Tokens of the attribute.
    Expression(Expression<S>),
    Group(Brackets, Vec<Piece<S>>),
}

use Piece::{Code, CodeAt, Input};

const ALLOCATOR: &str = "#[global_allocator] \
    static __GORT_ALLOCATOR: ::gort::alloc::Global<::std::alloc::System> = ::gort::alloc::Global::new(::std::alloc::System);";

const BODY: &str = "__gort_body";

/// `#[gort::main]`.
pub(crate) fn main<S: Copy>(options: MainOptions<S>, function: &Function, tokens: &[Token<S>]) -> Vec<Piece<S>> {
    let mut fields = Vec::new();
    for (name, value) in
        [("procs", options.procs), ("max_threads", options.max_threads), ("stack_size", options.stack_size)]
    {
        match value {
            None => fields.push(code(format!("{name}: ::core::option::Option::None,"))),
            Some(value) => fields.extend([
                code(format!("{name}: ::core::option::Option::Some")),
                Piece::Group(Brackets::Round, vec![Piece::Expression(value)]),
                code(","),
            ]),
        }
    }
    fields.push(code(format!("require_migrating: {}, allocator: {}", options.require_migrating, options.allocator)));

    let mut pieces = Vec::new();
    if options.allocator {
        pieces.push(code(ALLOCATOR));
    }
    pieces.extend([Input(function.head.clone()), code("-> impl ::std::process::Termination")]);
    pieces.push(body(function, tokens, "main", "Options", fields));
    pieces
}

/// `#[gort::test]`.
pub(crate) fn test<S: Copy>(options: TestOptions<S>, function: &Function, tokens: &[Token<S>]) -> Vec<Piece<S>> {
    let name = tokens[function.name].ident().unwrap_or_default();
    let timeout = match options.timeout_s {
        None => "::core::option::Option::None".to_owned(),
        Some(seconds) => format!("::core::option::Option::Some({seconds})"),
    };
    let procs = options.procs.into_iter().flat_map(|one| [Piece::Expression(one), code(",")]).collect();
    let fields = vec![
        code(format!("name: ::core::concat!(::core::module_path!(), \"::\", ::core::stringify!({name})), procs: &")),
        Piece::Group(Brackets::Square, procs),
        code(format!(", timeout_s: {timeout}")),
    ];
    let mut pieces = vec![code("#[::core::prelude::v1::test]"), Input(function.head.clone())];
    let mut body = body(function, tokens, "test", "TestOptions", fields);
    if function.returns.is_empty() {
        // Stays `()`, which `#[should_panic]` wants; failures are panics.
        if let Piece::Group(_, inside) = &mut body {
            inside.push(code(";"));
        }
    } else {
        // The result is reported on the goroutine, so that it need not be `Send`.
        pieces.push(code("-> impl ::std::process::Termination"));
    }
    pieces.push(body);
    pieces
}

/// `{ fn body() -> T { ... } ::gort::__private::CALL(::gort::__private::OPTIONS { fields }, body) }`
fn body<S: Copy>(
    function: &Function,
    tokens: &[Token<S>],
    call: &str,
    options: &str,
    fields: Vec<Piece<S>>,
) -> Piece<S> {
    let arguments = vec![
        code(format!("::gort::__private::{options}")),
        Piece::Group(Brackets::Curly, fields),
        code(","),
        // A return type that is no `Termination` is a mistake in the return type.
        match tokens[function.returns.clone()].last() {
            Some(returned) => CodeAt(BODY.to_owned(), returned.span),
            None => code(BODY),
        },
    ];
    Piece::Group(
        Brackets::Curly,
        vec![
            code(format!("fn {BODY}()")),
            Input(function.returns.clone()),
            Input(function.body..function.body + 1),
            code(format!("::gort::__private::{call}")),
            Piece::Group(Brackets::Round, arguments),
        ],
    )
}

fn code<S>(text: impl Into<String>) -> Piece<S> {
    Code(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        function::Attribute,
        token::{Kind, tests::lex},
    };

    /// The expansion as text, one space between tokens.
    fn expand(attribute: Attribute, options: &str, source: &str) -> String {
        let (options, tokens) = (lex(options), lex(source));
        let function = Function::parse(&tokens, attribute, source.len()).unwrap();
        let pieces = match attribute {
            Attribute::Main => main(MainOptions::parse(&options).unwrap(), &function, &tokens),
            Attribute::Test => test(TestOptions::parse(&options).unwrap(), &function, &tokens),
        };
        let mut words = Vec::new();
        render(&pieces, &tokens, &mut words);
        words.join(" ")
    }

    fn render(pieces: &[Piece<usize>], tokens: &[Token<usize>], words: &mut Vec<String>) {
        for piece in pieces {
            match piece {
                Code(text) | CodeAt(text, _) => write(&lex(text), words),
                Input(range) => write(&tokens[range.clone()], words),
                Piece::Expression(tokens) => write(tokens, words),
                Piece::Group(brackets, inside) => {
                    words.push(ends(*brackets)[0].into());
                    render(inside, tokens, words);
                    words.push(ends(*brackets)[1].into());
                }
            }
        }
    }

    fn write(tokens: &[Token<usize>], words: &mut Vec<String>) {
        for token in tokens {
            match &token.kind {
                Kind::Ident(text) | Kind::Literal(text) => words.push(text.clone()),
                Kind::Punct(punct, _) => words.push(punct.to_string()),
                Kind::Group(brackets, inside) => {
                    words.push(ends(*brackets)[0].into());
                    write(inside, words);
                    words.push(ends(*brackets)[1].into());
                }
            }
        }
    }

    fn ends(brackets: Brackets) -> [&'static str; 2] {
        match brackets {
            Brackets::Round => ["(", ")"],
            Brackets::Square => ["[", "]"],
            Brackets::Curly => ["{", "}"],
            Brackets::Invisible => ["", ""],
        }
    }

    fn same(expansion: &str, expected: &str) {
        let mut words = Vec::new();
        write(&lex(expected), &mut words);
        assert_eq!(expansion, words.join(" "));
    }

    #[test]
    fn main_with_everything_said() {
        same(
            &expand(
                Attribute::Main,
                "allocator = none, require = migrating, procs = 2 + N, max_threads = 64, stack_size = 1 << 20",
                "#[doc = \"hello\"] pub fn main() -> Result<(), Error> { work()?; Ok(()) }",
            ),
            "#[doc = \"hello\"] pub fn main() -> impl ::std::process::Termination {
                fn __gort_body() -> Result<(), Error> { work()?; Ok(()) }
                ::gort::__private::main(
                    ::gort::__private::Options {
                        procs: ::core::option::Option::Some(2 + N),
                        max_threads: ::core::option::Option::Some(64),
                        stack_size: ::core::option::Option::Some(1 << 20),
                        require_migrating: true, allocator: false
                    },
                    __gort_body
                )
            }",
        );
    }

    #[test]
    fn main_with_nothing_said_gets_the_allocator() {
        same(
            &expand(Attribute::Main, "", "fn main() {}"),
            "#[global_allocator]
            static __GORT_ALLOCATOR: ::gort::alloc::Global<::std::alloc::System> = ::gort::alloc::Global::new(::std::alloc::System);
            fn main() -> impl ::std::process::Termination {
                fn __gort_body() {}
                ::gort::__private::main(
                    ::gort::__private::Options {
                        procs: ::core::option::Option::None,
                        max_threads: ::core::option::Option::None,
                        stack_size: ::core::option::Option::None,
                        require_migrating: false, allocator: true
                    },
                    __gort_body
                )
            }",
        );
    }

    #[test]
    fn a_test_keeps_its_attributes_and_reports_what_it_returns() {
        same(
            &expand(
                Attribute::Test,
                "procs = [1, 2, N], timeout = \"2m\"",
                "#[should_panic] #[ignore] fn works() -> io::Result<()> { Ok(()) }",
            ),
            "#[::core::prelude::v1::test] #[should_panic] #[ignore] fn works() -> impl ::std::process::Termination {
                fn __gort_body() -> io::Result<()> { Ok(()) }
                ::gort::__private::test(
                    ::gort::__private::TestOptions {
                        name: ::core::concat!(::core::module_path!(), \"::\", ::core::stringify!(works)),
                        procs: &[1, 2, N,],
                        timeout_s: ::core::option::Option::Some(120)
                    },
                    __gort_body
                )
            }",
        );
    }

    #[test]
    fn a_test_with_nothing_said_leaves_the_choice_to_the_runtime() {
        let expansion = expand(Attribute::Test, "", "fn works() {}");
        assert!(
            expansion.contains("procs : & [ ] , timeout_s : : : core : : option : : Option : : None"),
            "{expansion}"
        );
        assert!(expansion.contains("fn works ( ) {") && expansion.ends_with("__gort_body ) ; }"), "{expansion}");
    }
}
