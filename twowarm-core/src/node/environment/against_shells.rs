//! Compares the values read from a file with those in real shells that ran it.

use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn outer(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/home/pg".to_owned())
}

/// Parts of values that bash and sh read in the same way.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z0-9/._+,@%=-]{0,6}",
        "'[a-z $\"\\\\#~;&|()<>{}*?]{0,8}'",
        "\"[a-z '#~;&|()<>{}*?]{0,8}\"",
        "\\\\[a-z $\"'\\\\#;&|()<>]",
        Just("\\\n".to_owned()),
        Just("\"a\\$b\\\\c\\\"d\\`e\\f\"".to_owned()),
        "\\$[ABCD]",
        "\\$\\{[ABCD]\\}",
        "\"\\$[ABCD]x \\$\\{[ABCD]\\}\"",
        "\\$\\{[ABCDU](:?[-+])[a-z/]{0,4}\\}",
        "\\$\\{[ABCDU]:?[-+=]\\$[ABCD]\"[a-z ]{0,3}\"'[a-z }]{0,3}'\\}",
        "\"\\$\\{[ABCDU]:?[-+][a-z ]{0,3}\\$A\\}\"",
        Just(":~/x".to_owned()),
        Just("#".to_owned()),
    ];
    let tilde = prop_oneof![3 => Just(""), 1 => Just("~"), 1 => Just("~/")];
    (tilde, prop::collection::vec(piece, 0..5)).prop_map(|(tilde, pieces)| {
        // The next part must not extend a name, nor make `~` a ~USER.
        let joined = pieces.join("\"\"");
        if tilde == "~" && !joined.is_empty() { joined } else { format!("{tilde}{joined}") }
    })
}

fn line() -> impl Strategy<Value = String> {
    let assignment =
        ("[ABCDE]", value()).prop_map(|(name, value)| format!("{name}={value}")).boxed();
    prop_oneof![
        6 => assignment.clone(),
        2 => (assignment.clone(), assignment.clone()).prop_map(|(a, b)| format!("{a} {b}")),
        1 => (assignment.clone(), assignment.clone()).prop_map(|(a, b)| format!("{a};\t{b} # c")),
        1 => assignment.clone().prop_map(|a| format!("{a}; export A B")),
        1 => assignment.clone().prop_map(|a| format!("{a} && export C")),
        1 => "[ABCDE]".prop_map(|name| format!("export {name}=x'y z'")),
        1 => "[ABCDE]".prop_map(|name| format!(": ${{{name}:=a\"b c\"}}")),
        1 => Just("# A=comment 'x".to_owned()),
        1 => Just("umask 077".to_owned()),
        1 => Just("true && D=cond".to_owned()),
        1 => Just("if false; then E=cond; fi".to_owned()),
        1 => Just("f() { B=called; }".to_owned()),
        1 => Just("X=$(A=sub; echo ')')".to_owned()),
        1 => Just("cat >/dev/null <<EOF\nA=body $A\nEOF".to_owned()),
    ]
}

const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];

/// The variables of a shell after it ran the text; `None` for a syntax error.
fn by_shell(shell: &str, text: &str) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("environment.sh");
    std::fs::write(&file, text).unwrap();
    // A shell would run the commands before a syntax error.
    let mut check = Command::new(shell);
    check.arg("-n").arg(&file).stderr(Stdio::null());
    if !check.status().unwrap().success() {
        return None;
    }
    let script = ". \"$0\" >/dev/null 2>&1 </dev/null; printf '%s\\001' ok \"$A\" \"$B\" \"$C\" \"$D\" \"$E\"";
    let mut command = Command::new(shell);
    command.args(["-c", script]).arg(&file).env_clear().env("HOME", "/home/pg");
    command.env("PATH", std::env::var_os("PATH").unwrap()).current_dir(dir.path());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut values = text.split('\x01').map(str::to_owned);
    (values.next()? == "ok").then(|| values.take(NAMES.len()).collect())
}

/// Known values are equal to those in the shells.
fn agrees_with_shells(text: &str) -> Result<(), TestCaseError> {
    let Ok(read) = Environment::parse(text, &outer) else { return Ok(()) };
    for shell in ["sh", "bash"] {
        let Some(values) = by_shell(shell, text) else { continue };
        for (name, value) in NAMES.iter().zip(values) {
            match read.values.get(*name) {
                None => prop_assert_eq!(value, "", "{}: {} is not set in {}", shell, name, text),
                Some(Ok(known)) => {
                    prop_assert_eq!(&value, known, "{}: {} of {}", shell, name, text);
                }
                Some(Err(_)) => {}
            }
        }
    }
    Ok(())
}

/// Words and operators; about one text in five is valid shell syntax.
fn code() -> impl Strategy<Value = String> {
    let assignments = ["A=1", "A=2", "B=1", "B=2", "C=3", "export D=4", "E=$A", "A=$B", "A="];
    let blocks = [
        "if true; then\n",
        "if false; then\n",
        "else\n",
        "fi\n",
        "fi ",
        "case x in\n",
        "x) ",
        "(y) ",
        "*) ",
        ";;\n",
        "esac\n",
        "for A in 5 6; do\n",
        "while false; do\n",
        "done\n",
        "done ",
        "{ ",
        "}\n",
        "} ",
        "( ",
        ") ",
        ")\n",
        "f() {\n",
        "f ()\n{ ",
        "f\n",
        "X=$(",
        "X=`",
        "`\n",
        "\"$(",
        ")\"\n",
        "((",
        "))\n",
        "$((1+",
        "[ x = y ] ",
        "[ x = x ] ",
        "! ",
        "[[ -n x ]] ",
        "function g\n{ ",
        "g\n",
    ];
    let operators = [
        "\n",
        "\n",
        "\n",
        "; ",
        "; ",
        "; ",
        " && ",
        " || ",
        " | ",
        " & ",
        " &&\n",
        " \\\n",
        " # ",
        " # '\n",
        "&>x ",
        " <<EOF\n",
        "EOF\n",
        " <<-'EOF'\n",
        "\tEOF\n",
        " <<< x ",
        " >/dev/null ",
        " 2>&1 ",
        " < /dev/null ",
    ];
    let words = [
        "true ",
        "false ",
        "echo A=9 ",
        "echo x",
        "unset A ",
        "read A ",
        "return\n",
        "eval A=7 ",
        "declare B=8 ",
        "'",
        "\"",
        "\\",
        "x",
        " ",
        "export A B",
        "${A:-x} ",
        "${B:=5} ",
        ": ${C:=6} ",
        "#",
        "umask 077",
    ];
    let piece = prop_oneof![
        4 => prop::sample::select(assignments.to_vec()).prop_map(str::to_owned),
        4 => prop::sample::select(operators.to_vec()).prop_map(str::to_owned),
        3 => prop::sample::select(blocks.to_vec()).prop_map(str::to_owned),
        2 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn known_values_are_those_of_a_shell(lines in prop::collection::vec(line(), 1..7)) {
        agrees_with_shells(&(lines.join("\n") + "\n"))?;
    }

    #[test]
    fn values_that_depend_on_commands_are_unknown(text in code()) {
        agrees_with_shells(&text)?;
    }
}
