//! A directory of WAL files goes to another node over one connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use twowarm_core::reach::Reach;
use twowarm_core::ship::ssh::SshTransport;
use twowarm_core::ship::wire::Stored;
use twowarm_core::ship::{FarCommand, LocalNode, ShipProgress, Shipper, WalFile};
use twowarm_core::testbed::example;

use crate::pair::Pair;

const HISTORY: &str = "00000002.history";

/// Writes segments with db1's server and puts all but the last into a directory, with a history. Returns the
/// directory and the names in it, in order.
fn backlog(pair: &Pair, segments: usize) -> (PathBuf, Vec<String>) {
    pair.db1.start().unwrap();
    pair.db1.sql("create table t (n int)").unwrap();
    for n in 0..segments {
        pair.db1.sql(&format!("insert into t values ({n}); select pg_switch_wal()")).unwrap();
    }
    let directory = pair.db1.home().join("backlog");
    pair.db1.run_as().make_dir(&directory, 0o755).unwrap();
    let mut names = Vec::new();
    for number in 1..=segments {
        let name = format!("{number:024X}").replacen("00000000", "00000001", 1);
        let content = fs::read(pair.db1.pgdata().join("pg_wal").join(&name)).unwrap();
        pair.db1.run_as().write(&directory.join(&name), content).unwrap();
        names.push(name);
    }
    pair.db1.run_as().write(&directory.join(HISTORY), "1\t0/90000000\tx\n").unwrap();
    pair.db1.run_as().write(&directory.join("README"), "not a WAL file\n").unwrap();
    (directory, names)
}

/// Installs the example on db1, which reaches db2 by its ssh configuration.
fn install_example(pair: &mut Pair) {
    let built = example("ship_directory").unwrap();
    pair.db1.install_commands(built.parent().unwrap(), &["ship_directory"]).unwrap();
    let (port, user) = (pair.db2.sshd().port(), pair.db2.run_as().user().to_owned());
    let config = format!(
        "Host db2\nHostName 127.0.0.1\nPort {port}\nUser {user}\nIdentityFile ~/.ssh/ship\n"
    );
    pair.db1.run_as().write(&pair.db1.home().join(".ssh/config"), config).unwrap();
}

fn ship(pair: &Pair, directory: &Path) -> Output {
    let mut command = pair.db1.command("ship_directory");
    command.arg(directory).arg(pair.db1.pgdata()).arg("db2").arg(pair.db2.pgroot());
    command.output().unwrap()
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

#[test]
fn the_example_ships_a_directory_with_progress() {
    let mut pair = Pair::new();
    install_example(&mut pair);
    let (directory, names) = backlog(&pair, 6);
    for stored in ["New", "AlreadyThere"] {
        let output = ship(&pair, &directory);
        assert!(output.status.success(), "{output:?}");
        let told = lines(&output.stdout);
        assert!(told[0].starts_with("connected to ") && told[0].ends_with("/archive"), "{told:?}");
        assert_eq!(told[1], format!("1/7 {HISTORY} {stored}"));
        for (at, name) in names.iter().enumerate() {
            assert_eq!(told[at + 2], format!("{}/7 {name} {stored}", at + 2));
            let sent = fs::read(directory.join(name)).unwrap();
            assert!(fs::read(pair.archived(name)).unwrap() == sent, "{name}");
        }
        assert_eq!(told.len(), 8, "{told:?}");
    }
    assert_eq!(pair.leftovers(), 0);

    // A segment with the content of another is not shipped, nor is any that follows it.
    for name in &names {
        fs::remove_file(pair.archived(name)).unwrap();
    }
    let content = fs::read(directory.join(&names[0])).unwrap();
    pair.db1.run_as().write(&directory.join(&names[3]), content).unwrap();
    let output = ship(&pair, &directory);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("is not shipped") && said.contains(&names[3]), "{said}");
    assert_eq!(lines(&output.stdout).len(), 5, "{output:?}");
    let arrived: Vec<_> = names.iter().map(|name| pair.archived(name).exists()).collect();
    assert_eq!(arrived, [true, true, true, false, false, false]);

    pair.db2.sshd().stop();
    let output = ship(&pair, &directory);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
}

/// While the other node is busy with one file, no data of the next one is read: heartbeats tell that it works.
#[test]
fn slow_storage_does_not_interrupt_a_backlog() {
    let mut pair = Pair::new();
    let (directory, names) = backlog(&pair, 3);
    let slow = "strace -f -qq -o /dev/null -e inject=fsync:delay_enter=7s:when=3";
    let receiver = pair.receiver();
    pair.force(&format!("{slow} {receiver}"));
    let node = LocalNode {
        data_directory: pair.db1.pgdata(),
        node_id: "backlog".parse().unwrap(),
        label: "db1".into(),
    };
    let reach = Reach {
        host: Some("127.0.0.1".into()),
        port: Some(pair.db2.sshd().port()),
        user: Some(pair.db2.run_as().user().to_owned()),
        key: Some(pair.db1.key().private().to_owned()),
        known_hosts: Some(pair.db1.known_hosts()),
        time_limit: Duration::from_secs(3),
        ..Reach::new("db2".parse().unwrap(), pair.db2.pgroot())
    };
    let transport = SshTransport::new(&reach, FarCommand::ReceiveWalFile).unwrap();
    let files = WalFile::list(&directory).unwrap();
    let mut shipped = Vec::new();
    let start = Instant::now();
    let result = Shipper::new(node, transport).ship(&files, &mut |progress| {
        if let ShipProgress::Shipped { file, stored, .. } = progress {
            assert_eq!(stored, Stored::New);
            shipped.push(file.name.to_string());
        }
    });
    result.unwrap();
    assert!(start.elapsed() > Duration::from_secs(6), "{:?}", start.elapsed());
    assert_eq!(shipped[0], HISTORY);
    assert_eq!(shipped[1..], names);
}
