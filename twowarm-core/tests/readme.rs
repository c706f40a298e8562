//! The README shows the examples as they are.
#![allow(clippy::unwrap_used, reason = "all of this file is tests")]

use std::fs;
use std::path::Path;

#[test]
fn the_readme_contains_each_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut examples = 0;
    for entry in fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let code = fs::read_to_string(&path).unwrap();
        assert!(readme.contains(&format!("```rust\n{code}```")), "{} differs", path.display());
        assert!(code.lines().count() < 60, "{} is too long for an example", path.display());
        examples += 1;
    }
    assert_eq!(examples, 3);
}
