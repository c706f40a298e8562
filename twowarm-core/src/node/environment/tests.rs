use proptest::prelude::*;

use super::*;

fn outer(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/home/pg".to_owned())
}

fn parse(text: &str) -> Environment {
    Environment::parse(text, &outer).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn common_forms_of_assignments() {
    let read = parse(
        "# our node\nexport PGDATA=/data/15 # here\nA='a b'; export A\n\
         B=\"$PGDATA/x y\" C=${PGDATA}z\\ w\nD=~/d\n\tE=${NONE:-/dflt}\nexport F=1 G=2\nH=a#b\nI=\n\
         J=${NONE:-\"$PGDATA/j\"} K=/x:~/k\nexport \"L=$H 1\"\nreadonly M=${A:+set} N=${NONE:+set}\n\
         : ${O:=new} ${A:=old}\nP=1 && export P\nQ=a\\\nb\n",
    );
    for (name, value) in [
        ("PGDATA", "/data/15"),
        ("A", "a b"),
        ("B", "/data/15/x y"),
        ("C", "/data/15z w"),
        ("D", "/home/pg/d"),
        ("E", "/dflt"),
        ("F", "1"),
        ("G", "2"),
        ("H", "a#b"),
        ("J", "/data/15/j"),
        ("K", "/x:/home/pg/k"),
        ("L", "a#b 1"),
        ("M", "set"),
        ("O", "new"),
        ("P", "1"),
        ("Q", "ab"),
    ] {
        assert_eq!(read.get(name), Some(value), "{name}");
    }
    assert_eq!((read.get("I"), read.get("N")), (None, None));
    let exported = ["PGDATA", "A", "B", "F", "G", "L", "M"].map(|name| read.is_exported(name));
    assert_eq!(exported, [true, true, false, true, true, true, true]);
    assert_eq!(read.iter().next(), Some(("A", "a b")));
    assert_eq!(read.ignored_lines(), None);
}

/// An environment.sh with shell commands stopped a standby.
#[test]
fn other_lines_are_ignored_and_listed_once() {
    let read = parse(
        ". ~/.bash_profile\numask 077; ulimit -c 0\nPGDATA=/data/15\n[ -f x ] && . x\n\
         if [ -d /y ]; then\n  cd /y\nfi\npathmunge () {\n  PATH=$1:$PATH\n}\n\
         case $TERM in (xterm) stty x;; *) ;; esac\nfor f in a b; do . $f; done <<EOF >/dev/null\n\
         PGDATA=/not/this\nEOF\nHOST=$(hostname -s)\nARCHIVE=$PGDATA/a\nPS1='\\u: '\n\
         set -a; source other\n",
    );
    read.require(&["PGDATA", "ARCHIVE"]).unwrap();
    assert_eq!(read.get("PGDATA"), Some("/data/15"));
    assert_eq!(read.get("ARCHIVE"), Some("/data/15/a"));
    assert_eq!((read.get("PATH"), read.get("HOST")), (None, None));
    assert_eq!(
        read.ignored_lines().unwrap(),
        "line 1 (. ~/.bash_profile), line 2 (umask 077), line 4 ([ -f x ]), lines 5 to 7 (if [ -d /y ]; then ...), \
         lines 8 to 10 (pathmunge () { ...), line 11 (case $TERM in (xterm) stty x;; *) ;; esac), \
         line 12 (for f in a b; do . $f; done), line 15 (\"$(hostname -s)\" is shell code), line 18 (set -a)"
    );
}

/// `PGDATA=$PGROOT/data` was read as /data.
#[test]
fn the_error_for_a_value_names_the_variable_that_is_not_set() {
    let read =
        parse("A=$BASE/x\nB=${A}/y\nPGDATA=$B\nOTHER=:$LD_LIBRARY_PATH\nARCHIVE=${PGDATA}/a\n");
    let error = read.require(&["PGDATA", "ARCHIVE", "DRNODE"]).unwrap_err().to_string();
    for part in [
        "could not determine PGDATA: line 1: BASE is not set",
        "could not determine ARCHIVE: line 1: ",
    ] {
        assert!(error.contains(part), "{error}");
    }
    read.require(&["DRNODE"]).unwrap();
    assert_eq!(read.ignored_lines(), None, "no line of it is run by a shell");
    // A later assignment gives it a known value.
    let read = parse("PGDATA=$BASE/x\nPGDATA=/data\n");
    assert_eq!((read.require(&["PGDATA"]), read.get("PGDATA")), (Ok(()), Some("/data")));
}

#[test]
fn values_that_only_a_shell_can_compute_are_unknown() {
    for text in [
        "PGDATA=$(cat /etc/pgdata)",
        "PGDATA=`cat x`",
        "PGDATA=$((1 + (2)))/x",
        "PGDATA=$1",
        "PGDATA=${X%/*}",
        "PGDATA=${PGDATA:?}",
        "PGDATA=~other/x",
        "PGDATA=(a b)",
        "PGDATA=/a; PGDATA+=/b",
        "PGDATA=/a\nif true; then PGDATA=/b; fi",
        "PGDATA=/a\nif true\nthen\n PGDATA=/b\nfi",
        "PGDATA=/a\n[ -d /b ] && PGDATA=/b",
        "PGDATA=/a\n[ -d /b ] &&\n\n # here\n export PGDATA=/b",
        "PGDATA=/a\ntest -d /b || PGDATA=/b",
        "PGDATA=/a\ncase x in y) PGDATA=/b;; esac",
        "PGDATA=/a\ncase x in if) PGDATA=/b;; fi) ;; esac",
        "PGDATA=/a\nfor PGDATA in /b /c; do :; done",
        "PGDATA=/a\nwhile read PGDATA; do :; done < list",
        "PGDATA=/a\nread -r PGDATA < file",
        "PGDATA=/a\nf() { PGDATA=/b; }\nf",
        "PGDATA=/a\nf ()\n{\n  PGDATA=/b\n}\nf",
        "PGDATA=/a\nfunction f\n{\n  PGDATA=/b\n}\nf",
        "PGDATA=/a\n(PGDATA=/b)",
        "PGDATA=/a\n{ PGDATA=/b; }",
        "PGDATA=/b | cat",
        "PGDATA=/b &",
        "PGDATA=/b && true &",
        "PGDATA=/b pg_ctl status",
        "PGDATA=/b > file",
        "PGDATA=/a\nunset PGDATA",
        "PGDATA=/a\ndeclare -x PGDATA=/b",
        "PGDATA=/a\neval \"export PGDATA=/b\"",
        "PGDATA=/a\nexport -n PGDATA",
        "PGDATA=/a\nprintf -v PGDATA %s /b",
        "PGDATA=/a\nmkdir ${PGDATA:=/b} ${PGDATA2:=c}; (( PGDATA = 1 ))",
        "PGDATA=/a\n[ -n \"$PS1\" ] && echo ${PGDATA2:=/x}; PGDATA=$PGDATA2",
        "[ -z \"$PS1\" ] && return\nPGDATA=/a",
        "if [ -z \"$PS1\" ]; then exit; fi\nPGDATA=/a",
        "f() { return; }\nreturn 0\nPGDATA=/a",
        "PGDATA=/a\nX=$(cat <<EOF\n)\nEOF\n) && PGDATA=/b",
    ] {
        let read = parse(text);
        let error = read.require(&["PGDATA"]).map_err(|e| e.to_string());
        assert!(error.is_err_and(|e| e.contains("could not determine PGDATA: line ")), "{text}");
        assert_eq!(read.get("PGDATA"), None, "{text}");
    }
}

#[test]
fn values_that_commands_can_not_change_are_known() {
    for text in [
        "PGDATA=/a\necho PGDATA=$PGDATA",
        "PGDATA=/a\n[ -d \"$PGDATA\" ] || mkdir -p \"$PGDATA\"",
        "PGDATA=/a\ncat <<'EOF'\nPGDATA=/b\nEOF",
        "PGDATA=/a\ncat <<-EOF <<E2\n\tPGDATA=/b\n\tEOF\nPGDATA=/c\nE2\n",
        "cat <<< PGDATA\nPGDATA=/a",
        "x() { return 1; }\n(exit)\nPGDATA=/a",
        "if true; then PGDATA=/b; fi\nPGDATA=/a",
        "# PGDATA=/b\nPGDATA=/a # PGDATA=/b",
        "X='\nPGDATA=/b\n'\nPGDATA=/a; X=\"\nPGDATA=/b\"",
        "X=$(\nPGDATA=/b\n); export PGDATA=/a",
        "PGDATA=/a; echo \\\nPGDATA=/b",
        "1A=x\n=y\nPGDATA=/a\n)\n}\nfi",
    ] {
        let read = parse(text);
        read.require(&["PGDATA"]).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read.get("PGDATA"), Some("/a"), "{text}");
    }
}

#[test]
fn one_error_lists_all_unknown_values() {
    let read = parse("umask 077\nPGDATA=$(x)\nARCHIVE=$BASE/a\nsource y\n");
    let error = read.require(&["PGDATA", "ARCHIVE"]).unwrap_err().to_string();
    for part in [
        "line 2: \"$(x)\" is shell code",
        "line 3: BASE is not set",
        "line 1 (umask 077)",
        "line 4 (source y)",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn variables_set_by_a_function_are_unknown_after_a_call() {
    let read = |text: &str| Environment::parse(text, &outer).unwrap();
    for call in ["f", "f x", "true && f", "if f; then :; fi", "eval 'x; f'", "$F", "g"] {
        for define in ["f() { A=2; }", "function f { A=2; }", "g() { f; }; f() { export A=2; }"] {
            if call == "g" && !define.starts_with(call) {
                continue;
            }
            let text = format!("F=f\n{define}\nA=1\n{call}\n");
            assert!(read(&text).require(&["A"]).is_err(), "{text}");
        }
    }
    for text in ["f() { A=2; }\nf\nA=1\n", "f() { A=2; }\nA=1\numask 077\n", "f() (A=2)\nA=1\nf\n"]
    {
        assert_eq!(read(text).get("A"), Some("1"), "{text}");
    }
}

#[test]
fn syntax_errors() {
    for (text, line) in [
        ("A=1\nA='open\n\n", 2),
        ("A=\"open\n\n", 1),
        ("A=1\nif true; then\nA=2\n", 2),
        ("A=${B\n", 2),
        ("\nA=$(x", 2),
        ("cat <<EOF\nA=1\n", 3),
        ("A=\\", 1),
        ("A=`x", 1),
        ("A=\"${B:-'x}\"", 1),
        (&format!("A={}", "${A:-".repeat(10_000)), 1),
        (&"(".repeat(10_000), 1),
        (&"$( ".repeat(10_000), 1),
        (&"if ".repeat(10_000), 1),
    ] {
        match Environment::parse(text, &outer) {
            Err(EnvironmentError::Unreadable { line: found, .. }) => {
                assert_eq!(found, line, "{text:.30}")
            }
            other => panic!("{text:.30}: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(text in "([A-C]=|[A-C]|[ \\t\n;&|<>(){}'\"\\\\$`~#:!-]|\\$\\{|<<|if|fi|case|esac|do|done|export|EOF|ä|\r){0,40}") {
        let _ = Environment::parse(&text, &outer).map(|read| read.require(&["A", "B"]));
    }
}
