use std::fs;
use std::os::unix::fs::PermissionsExt;

use twowarm_core::testbed::{finish, wait_until};

use crate::pair::{LIMIT, ONE, Pair, said};

#[test]
fn host_keys_are_checked() {
    let pair = Pair::new();
    let known = fs::read_to_string(pair.db1.known_hosts()).unwrap();
    let write = |text: &str| pair.db1.run_as().write(&pair.db1.known_hosts(), text).unwrap();
    let file = pair.db1.known_hosts().display().to_string();

    write("");
    let add = format!("127.0.0.1 >> {file}");
    let words =
        ["db2 (127.0.0.1:", "is not known", "SHA256:", "ssh-keyscan -p", &add, "[127.0.0.1]:"];
    pair.fails(&pair.send(), 1, &words);
    let other = pair.db1.copy_key().public();
    let host = known.split(' ').next().unwrap();
    write(&format!("# a comment\n{host} {other}\n"));
    pair.fails(&pair.send(), 1, &["has changed", "SHA256:", &file, "line 2"]);
    write(&format!("@revoked {known}{known}"));
    pair.fails(&pair.send(), 1, &["@revoked", &file]);

    // Hashed names, patterns and a name without a port match.
    write(&known);
    let mut hash = pair.db1.program("ssh-keygen");
    finish(hash.args(["-H", "-f"]).arg(pair.db1.known_hosts())).unwrap();
    assert!(fs::read_to_string(pair.db1.known_hosts()).unwrap().starts_with("|1|"));
    pair.arrives();
    let key = known.split_once(' ').unwrap().1;
    for names in ["[127.0.0.*]:*", "127.0.0.1", "other,127.0.0.1"] {
        write(&format!("{names} {key}"));
        pair.arrives();
    }
    fs::remove_file(pair.archived(ONE)).unwrap();
    fs::remove_file(pair.db1.known_hosts()).unwrap();
    pair.fails(&pair.send(), 1, &["is not known"]);
}

/// Regression: the message named /etc/ssh/ssh_known_hosts, which only root can write.
#[test]
fn an_unknown_host_key_belongs_in_the_users_known_hosts() {
    let pair = Pair::new();
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let no_file: String =
        settings.split_inclusive('\n').filter(|line| !line.contains("known_hosts")).collect();
    pair.db1.write_local("2warm.toml", no_file).unwrap();
    let known = pair.db1.known_hosts();
    let line = fs::read_to_string(&known).unwrap();
    fs::remove_file(&known).unwrap();
    let file = format!("127.0.0.1 >> {}/.ssh/known_hosts, ", pair.db1.home().display());
    pair.fails(&pair.send(), 1, &["db2 (127.0.0.1:", "is not known", &file]);
    pair.db1.run_as().write(&known, line).unwrap();
    pair.arrives();
}

/// Regression: the hint was to add the public key on the other node.
#[test]
fn an_unusable_private_key_is_reported() {
    let pair = Pair::new();
    let private = pair.db1.key().private().to_owned();
    let name = private.display().to_string();
    let fails = |words: &[&str]| {
        let output = pair.send();
        pair.fails(&output, 1, &[words, &[&name, "db2 (127.0.0.1:"]].concat());
        assert!(!said(&output).contains("authorized_keys"), "{}", said(&output));
    };
    let aside = private.with_extension("aside");
    fs::rename(&private, &aside).unwrap();
    fails(&["does not exist", "2warm.toml"]);
    fs::create_dir(&private).unwrap();
    fails(&["cannot be read", "mode 600"]);
    fs::remove_dir(&private).unwrap();
    pair.db1.run_as().write(&private, "no key\n").unwrap();
    fails(&["is not a usable private key"]);
    fs::remove_file(&private).unwrap();
    fs::copy(&aside, &private).unwrap();
    // No user but root can read it.
    fs::set_permissions(&private, fs::Permissions::from_mode(0o000)).unwrap();
    if pair.db1.run_as().user() != "root" {
        fails(&["cannot be read", "Permission denied"]);
    }
    fs::rename(&aside, &private).unwrap();
    let mut lock = pair.db1.program("ssh-keygen");
    finish(lock.args(["-q", "-p", "-N", "secret", "-f"]).arg(&private)).unwrap();
    fails(&["passphrase", "agent"]);
    let mut unlock = pair.db1.program("ssh-keygen");
    finish(unlock.args(["-q", "-p", "-P", "secret", "-N", "", "-f"]).arg(&private)).unwrap();
    pair.arrives();
}

/// A server has several host keys and presents one of them. The client must ask for the one that it knows.
#[test]
fn of_several_host_keys_the_known_one_is_asked_for() {
    let pair = Pair::new();
    let home = pair.db2.home().join("sshd");
    let mut keys = Vec::new();
    let mut config = String::new();
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let file = home.join(format!("other_{kind}"));
        let mut make = pair.db2.program("ssh-keygen");
        finish(make.args(["-q", "-t", kind, "-N", "", "-f"]).arg(&file)).unwrap();
        config += &format!("HostKey {}\n", file.display());
        let public = fs::read_to_string(home.join(format!("other_{kind}.pub"))).unwrap();
        keys.push(public.split(' ').take(2).collect::<Vec<_>>().join(" "));
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let old = fs::read_to_string(home.join("sshd_config")).unwrap();
    let kept = old.lines().filter(|line| !["HostKey", "PidFile", "Port"].contains(&word(line)));
    config += &kept.map(|line| format!("{line}\n")).collect::<String>();
    let file = home.join("other_config");
    pair.db2.run_as().write(&file, format!("Port {port}\nPidFile none\n{config}")).unwrap();
    let mut sshd = pair.db2.program("/usr/sbin/sshd");
    let mut sshd = sshd.args(["-D", "-E", "/dev/null", "-f"]).arg(&file).spawn().unwrap();
    wait_until("the second sshd to answer", LIMIT, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    })
    .unwrap();
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let moved: String = settings
        .lines()
        .map(|l| if l.starts_with("port") { format!("port = {port}\n") } else { format!("{l}\n") })
        .collect();
    pair.db1.write_local("2warm.toml", moved).unwrap();
    for key in &keys {
        let line = format!("[127.0.0.1]:{port} {key}\n");
        pair.db1.run_as().write(&pair.db1.known_hosts(), line).unwrap();
        pair.arrives();
    }
    sshd.kill().unwrap();
    sshd.wait().unwrap();
}

fn word(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

#[test]
fn the_ssh_configuration_is_obeyed() {
    let mut pair = Pair::new();
    let (port, user) = (pair.db2.sshd().port(), pair.db2.run_as().user().to_owned());
    let home = pair.db1.home().to_owned();
    let pgroot = pair.db2.pgroot().display().to_string();
    let settings = format!("time_limit = 3\n[node.db2]\npgroot = \"{pgroot}\"\n");
    pair.db1.write_local("2warm.toml", &settings).unwrap();
    pair.db1.run_as().write(&home.join(".ssh/config"), "Include own\n").unwrap();
    let config = |more: &str| {
        let text = format!(
            "Host db2\nHostName 127.0.0.1\nPort {port}\nUser {user}\nIdentityFile ~/.ssh/ship\n{more}\n"
        );
        pair.db1.run_as().write(&home.join(".ssh/own"), &text).unwrap();
        // ssh looks for included files in the home directory of the user database, not in $HOME.
        let main = format!("Include {}/.ssh/own\n", home.display());
        pair.db1.run_as().write(&home.join(".ssh/config"), &main).unwrap();
    };
    config("");
    pair.arrives();
    fs::remove_file(pair.archived(ONE)).unwrap();
    config("ProxyJump bastion");
    pair.fails(&pair.send(), 1, &["ProxyJump", "not supported"]);
    config("HostKeyAlias other");
    pair.fails(&pair.send(), 1, &["host key of other"]);
    config("NoSuchOption yes");
    pair.fails(&pair.send(), 1, &["db2", "configuration"]);
    config("Match exec \"sleep 9\"");
    pair.fails(&pair.send(), 1, &["ssh -G", "did not end within 3 s"]);
    config("");
    pair.arrives();
}

#[test]
fn an_agent_s_key_is_used() {
    let mut pair = Pair::new();
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let no_key: String =
        settings.split_inclusive('\n').filter(|line| !line.contains("key = ")).collect();
    pair.db1.write_local("2warm.toml", no_key).unwrap();
    let user = pair.db2.run_as().user().to_owned();
    pair.fails(&pair.send(), 1, &["refused the login", &user, "no key"]);

    let socket = pair.db1.home().join("agent");
    let mut agent = pair.db1.program("ssh-agent");
    let mut agent = agent.arg("-D").arg("-a").arg(&socket).spawn().unwrap();
    wait_until("the agent to start", LIMIT, || socket.exists()).unwrap();
    let with_agent = |name: &str| {
        let mut command = pair.db1.command(name);
        command.env("SSH_AUTH_SOCK", &socket);
        command
    };
    let mut add = pair.db1.program("ssh-add");
    finish(add.env("SSH_AUTH_SOCK", &socket).arg(pair.db1.key().private())).unwrap();
    let output =
        with_agent("archiveWALFile").args([&format!("pg_wal/{ONE}"), ONE]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    // With IdentitiesOnly, a key of the agent is used only if an IdentityFile names it.
    let config = |text: &str| {
        pair.db1.run_as().write(&pair.db1.home().join(".ssh/config"), text).unwrap();
        with_agent("archiveWALFile").args([&format!("pg_wal/{ONE}"), ONE]).output().unwrap()
    };
    let refused = config("IdentitiesOnly yes\n");
    assert!(said(&refused).contains("refused the login"), "{}", said(&refused));
    let private = pair.db1.key().private().display();
    let found = config(&format!("IdentitiesOnly yes\nIdentityFile {private}\n"));
    assert!(found.status.success(), "{}", said(&found));
    agent.kill().unwrap();
    agent.wait().unwrap();
    pair.db2.sshd().stop();
}

/// libssh2 waits for an agent without a time limit.
#[test]
fn an_agent_that_does_not_answer_is_left_out() {
    let pair = Pair::new();
    let settings = fs::read_to_string(pair.db1.local().join("2warm.toml")).unwrap();
    let no_key: String =
        settings.split_inclusive('\n').filter(|line| !line.contains("key = ")).collect();
    pair.db1.write_local("2warm.toml", no_key).unwrap();
    let config = format!("IdentityFile {}\n", pair.db1.key().private().display());
    pair.db1.run_as().write(&pair.db1.home().join(".ssh/config"), config).unwrap();

    let socket = pair.db1.home().join("silent-agent");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    let mut send = pair.db1.command("archiveWALFile");
    send.env("SSH_AUTH_SOCK", &socket).args([&format!("pg_wal/{ONE}"), ONE]);
    let output = send.output().unwrap();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for word in ["WARNING", "agent", "silent-agent", "is not used"] {
        assert!(text.contains(word), "{text}");
    }
    assert!(pair.archived(ONE).exists());
}

#[test]
fn a_refused_login_names_the_user_and_the_keys() {
    let mut pair = Pair::new();
    let (user, key) = (pair.db2.run_as().user().to_owned(), pair.db1.key().clone());
    pair.db2.sshd().refuse(&key).unwrap();
    let private = key.private().display().to_string();
    pair.fails(&pair.send(), 1, &["db2 (127.0.0.1:", "refused the login", &user, &private]);
    pair.db2.sshd().authorize(&key, None).unwrap();
    pair.arrives();
}
