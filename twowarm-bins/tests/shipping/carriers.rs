//! What holds for each carrier.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::arrival::Mounted;
use crate::pair::{ONE, Pair, said};

#[test]
fn each_carrier_ships_a_segment_and_recognizes_it_later() {
    Pair::by_each_carrier(|pair| {
        pair.arrives();
        let again = pair.send();
        assert!(again.status.success(), "{}", said(&again));
        assert!(said(&again).contains("already exists in db2:"), "{}", said(&again));
        fs::remove_file(pair.archived(ONE)).unwrap();
        pair.arrives();
        let mode = fs::metadata(pair.archived(ONE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

#[test]
fn each_carrier_ships_histories_and_backup_files() {
    Pair::by_each_carrier(|pair| {
        let history = b"1\t0/3000158\tno recovery target specified\n";
        let backup = format!("{ONE}.00000028.backup");
        for (name, content) in [("00000002.history", &history[..]), (&backup, b"")] {
            let path = format!("pg_wal/{name}");
            pair.db1.run_as().write(&pair.db1.pgdata().join(&path), content).unwrap();
            let output = pair.archive(&path, name);
            assert!(output.status.success(), "{}", said(&output));
            assert_eq!(fs::read(pair.archived(name)).unwrap(), content);
        }
    });
}

#[test]
fn no_carrier_overwrites_a_different_file() {
    Pair::by_each_carrier(|pair| {
        pair.arrives();
        let mut content = fs::read(pair.archived(ONE)).unwrap();
        content[9000] ^= 1;
        pair.db2.run_as().write(&pair.archived(ONE), &content).unwrap();
        let output = pair.send();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for word in ["db2 refused", ONE, "different content", "which of the two is right"] {
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(fs::read(pair.archived(ONE)).unwrap() == content, "it was overwritten");
        assert_eq!(pair.leftovers(), 0);
    });
}

/// The stored file has stale pages of a recycled file behind the end of its WAL.
#[test]
fn each_carrier_recognizes_the_same_records() {
    Pair::by_each_carrier(|pair| {
        pair.db1.start().unwrap();
        pair.db1.sql("select pg_switch_wal()").unwrap();
        pair.arrives();
        let mut other = fs::read(pair.archived(ONE)).unwrap();
        let end = other.len();
        other[end - (4 << 20)..].fill(0xAA);
        pair.db2.run_as().write(&pair.archived(ONE), &other).unwrap();
        let output = pair.send();
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("already"), "{}", said(&output));
        assert!(fs::read(pair.archived(ONE)).unwrap() == other);
    });
}

#[test]
fn no_carrier_creates_a_missing_archive() {
    Pair::by_each_carrier(|pair| {
        let kept = pair.db2.archive().with_extension("kept");
        fs::rename(pair.db2.archive(), &kept).unwrap();
        let archive = pair.db2.archive().display().to_string();
        pair.fails(&pair.send(), 1, &["db2", &archive]);
        assert!(!pair.db2.archive().exists());
        fs::rename(&kept, pair.db2.archive()).unwrap();
        pair.arrives();
    });
}

#[test]
fn a_full_disk_leaves_no_file_by_any_carrier() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not tried: only root may mount a small file system");
        return;
    }
    Pair::by_each_carrier(|pair| {
        let mounted = Mounted::on(&pair.db2.archive());
        pair.db2.run_as().write(&pair.archived(".archive"), "").unwrap();
        pair.fails(&pair.send(), 1, &["db2", "No space left"]);
        assert_eq!(pair.leftovers(), 0);
        drop(mounted);
    });
}

#[test]
fn a_carrier_without_the_path_of_the_archive_says_which_setting_is_missing() {
    for carrier in ["local", "rsync"] {
        let pair = Pair::by(carrier);
        let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
        let without: String =
            settings.split_inclusive('\n').filter(|line| !line.starts_with("archive")).collect();
        pair.db1.write_local("2warm.toml", without).unwrap();
        pair.fails(&pair.send(), 1, &["archive of db2 is not known", "[node.db2]", "2warm.toml"]);
    }
}
