//! Asks whether this build is weakened at a certain point, see `mutations.rs`.

/// The constant false, except under loom with `GORT_MUTATE` set to this name when the crate was built.
macro_rules! mutated {
    ($name:literal) => {{
        #[cfg(gort_loom)]
        {
            const { $crate::mutate::is_chosen($name) }
        }
        #[cfg(not(gort_loom))]
        false
    }};
}

pub(crate) use mutated;

#[cfg(gort_loom)]
pub(crate) const fn is_chosen(name: &str) -> bool {
    assert!(is_listed(name), "this mutation is not listed in mutations.rs");
    match option_env!("GORT_MUTATE") {
        Some(chosen) => {
            assert!(is_listed(chosen), "GORT_MUTATE names no mutation of mutations.rs");
            same(chosen, name)
        }
        None => false,
    }
}

#[cfg(gort_loom)]
const fn is_listed(name: &str) -> bool {
    let all = crate::mutations::MUTATIONS;
    let mut i = 0;
    while i < all.len() && !same(all[i].0, name) {
        i += 1;
    }
    i < all.len()
}

#[cfg(gort_loom)]
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

#[cfg(all(test, not(gort_loom), not(miri)))]
mod tests {
    use std::string::String;
    use std::vec::Vec;
    use std::{format, fs};

    use crate::mutations::MUTATIONS;

    fn read(path: &str) -> String {
        let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
    }

    #[test]
    fn the_index_of_protocols_names_every_mutation_and_every_model() {
        let index = read("../../docs/PROTOCOLS.md");
        for (mutation, model) in MUTATIONS {
            let row = index.lines().find(|line| line.contains(&format!("`{mutation}`")));
            let row = row.unwrap_or_else(|| panic!("docs/PROTOCOLS.md does not name the mutation {mutation}"));
            let name = model.rsplit("::").next().unwrap();
            assert!(row.contains(&format!("`{name}`")), "docs/PROTOCOLS.md has another model for {mutation}");
        }
        for module in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
            let path = module.unwrap().path().join("model.rs");
            let Ok(source) = fs::read_to_string(&path) else { continue };
            let tests =
                source.split("#[test]\n").skip(1).filter_map(|test| test.strip_prefix("fn ")?.split('(').next());
            let unnamed: Vec<&str> = tests.filter(|name| !index.contains(&format!("`{name}`"))).collect();
            assert!(unnamed.is_empty(), "docs/PROTOCOLS.md does not name {unnamed:?} of {path:?}");
        }
    }

    #[test]
    fn every_model_named_by_a_mutation_exists() {
        for (mutation, model) in MUTATIONS {
            let [module, "model", name] = model.split("::").collect::<Vec<_>>()[..] else {
                panic!("{mutation}: {model} is not the path of a model");
            };
            assert!(read(&format!("src/{module}/model.rs")).contains(&format!("fn {name}()")), "{model} is gone");
        }
    }
}
