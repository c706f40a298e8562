use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::tree::{SHELLS, Tree, run, write_program};

const SHOW: &str = "printf '%s\\n' \"$PGROOT\" \"$PGDATA\" \"$GLOBAL\" \"$LOCAL\" \"$ARCHIVE\" \"$OTHERNODE\" \"$DRNODE\"";

fn expected(pgroot: &str) -> String {
    format!(
        "{pgroot}\n{pgroot}/data\n{pgroot}/2warm/global/\n{pgroot}/2warm/local/\n{pgroot}/data/archive\ndb2\n\n"
    )
}

#[test]
fn a_script_has_the_settings_by_any_path_that_calls_it() {
    for shell in SHELLS {
        let tree = Tree::new();
        let pgroot = tree.pgroot.display().to_string();
        let absolute = tree.script(shell, "ours", SHOW).display().to_string();
        let own = tree.local().join("own");
        fs::create_dir(&own).unwrap();
        let source = ". \"${0%/*}/../../global/replication/configSetup\"";
        write_program(&own.join("mine"), &format!("#!/usr/bin/env {shell}\n{source}\n{SHOW}\n"));
        let path = |first: &str| format!("{first}:{}", std::env::var("PATH").unwrap());
        let replication = tree.replication().display().to_string();
        for (command, directory, first_on_path) in [
            (absolute.as_str(), "/", ""),
            ("../2warm/global/replication/ours", &format!("{pgroot}/data"), ""),
            ("2warm/global/replication/ours", &pgroot, ""),
            ("./ours", &replication, ""),
            ("../../local/own/mine", &replication, ""),
            ("ours", "/", &replication),
            ("ours", &format!("{pgroot}/data"), "../2warm/global/replication"),
        ] {
            let mut call = tree.command(shell);
            // A shell looks up the command, as the server's does.
            call.args(["-c", command]).current_dir(directory).env("PATH", path(first_on_path));
            let output = run(&mut call);
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(said, expected(&pgroot), "{shell} {command}: {output:?}");
        }
        let mut by_name = tree.command(shell);
        let output = run(by_name.arg("ours").current_dir(&replication).env("CDPATH", "/"));
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected(&pgroot), "{output:?}");
    }
}

#[test]
fn the_tree_may_be_a_link() {
    for shell in SHELLS {
        let tree = Tree::new();
        tree.script(shell, "ours", SHOW);
        let elsewhere = tree.dir.path().join("elsewhere");
        fs::rename(tree.pgroot.join("2warm"), &elsewhere).unwrap();
        symlink(&elsewhere, tree.pgroot.join("2warm")).unwrap();
        let mut call = tree.command("../2warm/global/replication/ours");
        let output = run(call.current_dir(tree.pgdata()));
        let pgroot = tree.pgroot.display().to_string();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected(&pgroot), "{output:?}");
    }
}

#[test]
fn values_are_taken_as_they_are() {
    for name in ["a b  c", "it's", "$HOME`id`$(id)", "\"\\\\n*", "two\nlines", "end\n", "-x"] {
        let tree = Tree::named(name);
        let values = "export ODD='$(touch /nowhere)`x` \"q\" \\'\nTEXT=\"it's\n two\"\n";
        fs::write(tree.local().join("environment.sh"), format!("PGDATA=$PGROOT/data\n{values}"))
            .unwrap();
        for shell in SHELLS {
            let expected = expected(tree.pgroot.to_str().unwrap());
            let odd = "$(touch /nowhere)`x` \"q\" \\\nit's\n two\n";
            let show = format!("{SHOW}\nprintf '%s\\n' \"$ODD\" \"$TEXT\"");
            tree.prints(shell, &show, &(expected + odd));
        }
    }
}

#[test]
fn environment_sh_s_assignments_are_the_script_s_and_exported_as_it_says() {
    let tree = Tree::new();
    let text = "export PGPORT=5433 PGDATA=/data\nPGUSER=pg\nPATH=/pg/bin:$PATH; UID=7\nARCHIVE=/a\nOTHERNODE=me@db9\n";
    fs::write(tree.local().join("environment.sh"), text).unwrap();
    for shell in SHELLS {
        let lines = "echo $PGPORT $PGDATA $PGUSER $ARCHIVE $OTHERNODE ${PATH%%:*}\n\
                     env | grep -E '^(PGPORT|PGDATA|PGUSER|PGROOT)=' | sort";
        let expected = "5433 /data pg /a me@db9 /pg/bin\nPGDATA=/data\nPGPORT=5433\n";
        tree.prints(shell, lines, expected);
    }
}

#[test]
fn variables_that_the_script_does_not_export_are_used() {
    let tree = Tree::new();
    fs::write(tree.local().join("environment.sh"), "").unwrap();
    let text = format!(
        "PGROOT={} PGDATA=/its/own; . $PGROOT/2warm/global/replication/configSetup; echo $PGDATA $ARCHIVE",
        tree.pgroot.display()
    );
    for shell in SHELLS {
        let output = run(tree.command(shell).args(["-c", &text]));
        assert_eq!(output.stdout, b"/its/own /its/own/archive\n", "{shell}: {output:?}");
    }
}

#[test]
fn nothing_else_of_the_script_is_changed() {
    let tree = Tree::new();
    let names = "if [ -n \"${BASH_VERSION-}\" ]; then compgen -v; else set | sed -n 's/^\\([A-Za-z_]*\\)=.*/\\1/p'; fi";
    for shell in SHELLS {
        let strict = if shell == "bash" { "set -euo pipefail" } else { "set -eu" };
        let state = format!("{{ {names}; }} | sort > \"$0.$1\"; set +o > \"$0.options.$1\"; pwd");
        let script = format!(
            "#!/usr/bin/env {shell}\n{strict}; IFS=1:/; set -f -C\nstate() {{ set +C; {state}; set -C; }}\n\
             state before\n. \"${{0%/*}}/configSetup\"\nstate after\nprintf %s \"$IFS\"\n"
        );
        let path = tree.replication().join("ours");
        write_program(&path, &script);
        let output = run(&mut tree.command(&path));
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        let here = tree.dir.path().canonicalize().unwrap().display().to_string();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{here}\n{here}\n1:/"));
        let read = |name: &str| fs::read_to_string(tree.replication().join(name)).unwrap();
        assert_eq!(read("ours.options.before"), read("ours.options.after"), "{shell}");
        let before = read("ours.before");
        let before: Vec<&str> = before.lines().collect();
        let after = read("ours.after");
        let new: Vec<&str> = after.lines().filter(|name| !before.contains(name)).collect();
        let facts = ["ARCHIVE", "DRNODE", "GLOBAL", "LOCAL", "OTHERNODE", "PGDATA", "PGROOT"];
        assert_eq!(new, facts, "{shell}");
    }
}

#[test]
fn it_leaves_its_input_to_the_script() {
    let tree = Tree::new();
    for shell in SHELLS {
        let script = tree.script(shell, "ours", "cat");
        let mut command = tree.command(script);
        let input = fs::File::open(tree.local().join("replication/othernode")).unwrap();
        assert_eq!(run(command.stdin(Stdio::from(input))).stdout, b"db2\n");
    }
}

#[test]
fn debug_prints_the_settings_and_ends_the_script() {
    let tree = Tree::new();
    for shell in SHELLS {
        let script = tree.script(shell, "ours", "echo went on");
        let output = run(tree.command(script).args(["debug", "more"]));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let facts = run(&mut tree.command(tree.replication().join("configSetup"))).stdout;
        let facts = String::from_utf8(facts).unwrap();
        assert!(
            facts.starts_with(&format!("PGROOT={}\nPGDATA=", tree.pgroot.display())),
            "{facts}"
        );
        assert!(said.starts_with(&facts) && !said.contains("went on"), "{said}");
        assert_eq!(output.status.code(), Some(1));
        tree.prints(shell, "dump_config", &facts);
    }
}

#[test]
fn by_itself_it_prints_the_settings() {
    let tree = Tree::new();
    let file = tree.replication().join("configSetup");
    for shell in SHELLS {
        for arguments in [&[][..], &["debug"]] {
            let output = run(tree.command(shell).arg(&file).args(arguments));
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("\nOTHERNODE=db2\nDRNODE=\n"), "{said}");
        }
        let output = run(tree.command(shell).arg("configSetup").current_dir(tree.replication()));
        assert!(output.status.success(), "{output:?}");
        let asked = |option: &str| {
            let output = run(tree.command(shell).arg(&file).arg(option));
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(asked("--version").starts_with("configSetup (twowarm) "));
        assert!(asked("--help").starts_with("Usage: configSetup [debug]\n"));
    }
}

#[test]
fn a_shell_that_reads_commands_may_source_it() {
    let tree = Tree::new();
    let ask = |shell: &str, root: &str, file: &str| {
        let source = if file.contains(';') { "" } else { ". " };
        let text = format!("{source}{file}; echo \"$PGDATA\"\n");
        let mut command = tree.command(shell);
        command.args(["-c", &text]).current_dir(tree.replication()).env("PGROOT", root);
        run(&mut command)
    };
    let expected = format!("{}\n", tree.pgdata().display());
    let full = tree.replication().join("configSetup").display().to_string();
    let other = Tree::new();
    let elsewhere = other.replication().display().to_string();
    for (shell, root, file) in [
        // bash knows the path of the file, also of one in another tree; dash uses the working directory.
        ("bash", "", format!("cd {elsewhere}; . {full}").as_str()),
        ("bash", "", &format!("cd /; . {full}")),
        ("dash", "", "cd .; . ./configSetup"),
        ("bash", "", "./configSetup"),
        ("bash", "", full.as_str()),
        ("bash", tree.pgroot.to_str().unwrap(), full.as_str()),
        ("dash", tree.pgroot.to_str().unwrap(), full.as_str()),
    ] {
        let output = ask(shell, root, file);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{shell} {file}: {output:?}");
    }
    // Otherwise the message says which variable to set.
    let output = ask("dash", "", &format!("cd /; . {full}"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("set PGROOT"), "{output:?}");
}
