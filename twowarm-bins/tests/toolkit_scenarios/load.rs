use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use postgres::config::TargetSessionAttrs;
use postgres::{Client, Config, NoTls};
use twowarm_core::testbed::{LIMIT, Node, wait_until};

/// The next row. Loads of one test continue each other.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A client that inserts and commits one row after the other. When its session ends, it connects to the node that is the
/// primary then.
pub struct Load {
    acknowledged: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub fn start(nodes: &[&Node]) -> Load {
        let mut config = Config::new();
        for node in nodes {
            config.host_path(node.socket_dir()).port(node.port());
        }
        config.user(nodes[0].run_as().user()).dbname("postgres").application_name("load");
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (known, stopped) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        let thread = Some(thread::spawn(move || insert(&config, &known, &stopped)));
        Load { acknowledged, stop, thread }
    }

    /// The rows whose commit was acknowledged so far.
    pub fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Waits until another row is acknowledged.
    pub fn goes_on(&self) {
        let count = || self.acknowledged.lock().unwrap().len();
        let before = count();
        wait_until("the client to write", LIMIT, || count() > before).unwrap();
    }

    pub fn stop(mut self) -> Vec<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        self.acknowledged()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Each row is inserted once: it is not known whether one that was not acknowledged was committed.
fn insert(config: &Config, acknowledged: &Mutex<Vec<u64>>, stop: &AtomicBool) {
    while let Some(mut session) = connect(config, stop) {
        while !stop.load(Ordering::SeqCst) {
            let id = NEXT.fetch_add(1, Ordering::SeqCst);
            if session.simple_query(&format!("insert into load values ({id})")).is_err() {
                break;
            }
            acknowledged.lock().unwrap().push(id);
        }
    }
}

/// A session on the primary, as soon as there is one; none when the load is to stop.
fn connect(config: &Config, stop: &AtomicBool) -> Option<Client> {
    let session = || match stop.load(Ordering::SeqCst) {
        true => Some(None),
        false => config.connect(NoTls).ok().map(Some),
    };
    wait_until("a primary", LIMIT * 10, session).ok().flatten()
}
