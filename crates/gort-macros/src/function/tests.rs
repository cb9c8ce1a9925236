use super::*;
use crate::token::tests::lex;

fn parse(source: &str, attribute: Attribute) -> Result<Function, Error<usize>> {
    Function::parse(&lex(source), attribute, source.len())
}

/// The source from where the error points to, and its text.
fn error(source: &str, attribute: Attribute) -> (&str, String) {
    let error = parse(source, attribute).expect_err(source);
    (&source[error.span..], error.message)
}

#[test]
fn a_plain_function_is_taken_apart() {
    let function = parse("fn main() {}", Attribute::Main).unwrap();
    assert_eq!(function, Function { head: 0..3, name: 1, returns: 3..3, body: 3 });
}

#[test]
fn attributes_visibility_and_return_type_are_found() {
    let source =
        "#[should_panic(expected = \"x\")] #[ignore] pub(crate) fn works() -> Result<(), Box<dyn Error>> { body() }";
    let tokens = lex(source);
    let function = parse(source, Attribute::Test).unwrap();
    assert!(tokens[function.name].is_ident("works"));
    assert!(tokens[function.returns.start].is_punct('-') && tokens[function.returns.end - 1].is_punct('>'));
    assert!(tokens[function.body].group(Brackets::Curly).is_some());
    assert_eq!(function.head, 0..function.name + 2);
}

#[test]
fn a_function_made_by_a_macro_is_accepted() {
    parse("«» fn works() -> «Result<(), ()>» «{ body() }»", Attribute::Test).unwrap();
    parse("«pub» fn works() {}", Attribute::Test).unwrap();
}

#[test]
fn qualifiers_are_refused_where_they_stand() {
    for (source, at) in [
        ("async fn main() {}", "async fn main() {}"),
        ("#[x] pub async fn main() {}", "async fn main() {}"),
        ("unsafe fn main() {}", "unsafe fn main() {}"),
        ("const fn main() {}", "const fn main() {}"),
        ("extern \"C\" fn main() {}", "extern \"C\" fn main() {}"),
    ] {
        let (found, message) = error(source, Attribute::Main);
        assert_eq!(found, at);
        assert!(message.starts_with("`#[gort::main]` takes a plain `fn`: remove `"), "{message}");
    }
    assert_eq!(
        error("async fn t() {}", Attribute::Test).1,
        "`#[gort::test]` takes a plain `fn`: remove `async` (a goroutine waits in plain calls)"
    );
}

#[test]
fn parameters_generics_and_bounds_are_refused_where_they_stand() {
    assert_eq!(
        error("fn main(arguments: Vec<String>) {}", Attribute::Main),
        (
            "arguments: Vec<String>) {}",
            "nothing is passed to this function: remove the parameters and use `std::env::args()`".to_owned()
        )
    );
    assert_eq!(error("fn t(x: u8) {}", Attribute::Test).0, "x: u8) {}");
    assert_eq!(error("fn t<T>() {}", Attribute::Test).0, "<T>() {}");
    assert_eq!(error("fn t() where u8: Copy {}", Attribute::Test).0, "where u8: Copy {}");
    assert_eq!(error("fn t() -> u8 where u8: Copy {}", Attribute::Test).0, "where u8: Copy {}");
}

#[test]
fn main_must_be_called_main_and_a_test_need_not_be_called_test() {
    let (at, message) = error("fn run() {}", Attribute::Main);
    assert_eq!(at, "run() {}");
    assert!(message.contains("goes on `main`, not on `run`"), "{message}");
    parse("fn run() {}", Attribute::Test).unwrap();
}

#[test]
fn a_second_test_attribute_is_refused() {
    let (at, message) = error("#[ignore] #[test] fn t() {}", Attribute::Test);
    assert_eq!(at, "#[test] fn t() {}");
    assert_eq!(message, "remove this `#[test]`: `#[gort::test]` adds it");
    parse("#[test] fn main() {}", Attribute::Main).unwrap();
}

#[test]
fn what_is_no_function_is_refused() {
    for source in [
        "",
        "struct X;",
        "const X: u32 = 1;",
        "mod m {}",
        "fn",
        "fn ()",
        "fn main",
        "fn main;",
        "pub",
        "#",
        "#[x]",
        "fn main() u8 {}",
        "fn main() - {}",
        "impl X { fn main() {} }",
    ] {
        let (_, message) = error(source, Attribute::Main);
        assert!(message.contains("goes on a function") || message.contains("needs a body"), "{source}: {message}");
    }
    for source in ["fn main();", "fn main() -> u8;", "fn main()"] {
        assert_eq!(error(source, Attribute::Main).1, "the function needs a body", "{source}");
    }
}
