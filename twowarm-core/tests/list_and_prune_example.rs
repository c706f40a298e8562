//! The example `list_and_prune`, on the archive of a real server.
#![cfg(feature = "testbed")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

use twowarm_core::testbed::{Node, Testbed, example, wait_until};

static EXAMPLE: LazyLock<PathBuf> = LazyLock::new(|| example("list_and_prune").unwrap());

struct Primary {
    node: Node,
    archive: PathBuf,
    _bed: Testbed,
}

impl Primary {
    fn new() -> Primary {
        let bed = Testbed::new().unwrap();
        let node = bed.node("db1").unwrap();
        let archive = bed.dir().join("archive");
        bed.run_as().make_dir(&archive, 0o755).unwrap();
        node.initdb_small_segments().unwrap();
        node.append_conf(&node.archiving_conf().unwrap()).unwrap();
        let at = archive.display();
        let command = format!("archive_command = 'cp %p {at}/new && mv {at}/new {at}/%f'");
        node.append_conf(&command).unwrap();
        node.start().unwrap();
        Primary { node, archive, _bed: bed }
    }

    /// Ends a segment, and returns its name once it is archived.
    fn ship(&self, table: &str) -> String {
        self.node.sql(&format!("create table {table} as select 1")).unwrap();
        let name = self.node.switch_wal().unwrap();
        let segment = self.archive.join(&name);
        wait_until("the segment to be archived", Duration::from_secs(60), || segment.exists())
            .unwrap();
        name
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(&*EXAMPLE).arg(&self.archive).args(arguments).output().unwrap()
    }

    /// The lines that it prints on success.
    fn lists(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.archive.join(name).exists()
    }
}

#[test]
fn an_archive_is_listed_verified_and_pruned() {
    let primary = Primary::new();
    let [first, second, third] = ["one", "two", "three"].map(|table| primary.ship(table));
    fs::write(primary.archive.join("00000002.history"), "1\t0/5000000\tpromoted\n").unwrap();
    let listed = primary.lists(&[]);
    for name in [&first, &second, &third] {
        assert!(listed.iter().any(|line| line.starts_with(&format!("{name}: complete"))));
    }
    assert!(listed.contains(&"00000002.history: valid".to_owned()), "{listed:?}");

    // Nothing is removed without --prune, nor before a restart point that is not in the archive yet.
    let unneeded = format!("{first}: no longer needed");
    let third_needed = format!("{third}: no longer needed");
    let listed = primary.lists(&[&third]);
    assert!(listed.contains(&unneeded) && !listed.contains(&third_needed), "{listed:?}");
    let future = "0000000100000001000000FE";
    assert!(!primary.lists(&[future, "--prune"]).contains(&unneeded));
    assert!(primary.has(&first));

    // Nothing is removed from an archive with a damaged segment.
    let file = fs::OpenOptions::new().write(true).open(primary.archive.join(&second)).unwrap();
    let byte = fs::read(primary.archive.join(&second)).unwrap()[40];
    file.write_all_at(&[!byte], 40).unwrap();
    let output = primary.run(&[&third, "--prune"]);
    assert!(!output.status.success() && primary.has(&first), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("{second}: ERROR: ")), "{said}");

    file.write_all_at(&[byte], 40).unwrap();
    primary.lists(&[&third, "--prune"]);
    assert!(!primary.has(&first) && !primary.has(&second) && primary.has(&third));
    assert!(primary.has("00000002.history"));
}

#[test]
fn files_that_are_not_what_their_name_says_are_errors() {
    let primary = Primary::new();
    let name = primary.ship("one");
    for wrong in ["0000000100000000000000FE", "00000003.history"] {
        let wrong = primary.archive.join(wrong);
        fs::copy(primary.archive.join(&name), &wrong).unwrap();
        let output = primary.run(&[]);
        assert!(!output.status.success(), "{wrong:?}: {output:?}");
        fs::remove_file(wrong).unwrap();
    }
    primary.lists(&[]);
    assert!(!Command::new(&*EXAMPLE).arg("/nonexistent").output().unwrap().status.success());
}
