//! A restore_command of one's own, on the loop that pg_standby and restoreWALFile are made of:
//! waits for a file of an archive, until somebody creates `/tmp/enough`.
//!
//! `restore_command = 'exec embed_restore_loop /mnt/archive %f %p'`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use twowarm_core::restore::{
    Clock, Decision, Found, GiveUp, Order, Outcome, Policy, RealClock, Situation, Source, Standing,
    copy_file, restore,
};
use twowarm_core::watch::{Events, Watcher};

struct File(PathBuf, PathBuf);
impl Source for File {
    fn look(&mut self, _: &dyn Clock) -> Found {
        if self.0.exists() { Found::Ready } else { Found::Absent }
    }
    fn restore(&mut self, _as_it_is: bool) -> Result<(), Found> {
        copy_file(&self.0, &self.1).map_err(|e| Found::NotCopied(e.to_string()))
    }
    fn set_aside(&mut self, _why: &str) -> bool {
        true
    }
}

struct Enough(&'static Path);
impl Standing for Enough {
    fn look(&mut self, _: &dyn Clock) -> Order {
        if self.0.exists() { Order::EndWhenAbsent } else { Order::Wait }
    }
}

struct WaitForever;
impl Policy for WaitForever {
    fn decide(&mut self, situation: &Situation) -> Decision {
        match (&situation.found, &situation.order) {
            (Found::Ready, _) => Decision::Restore { as_it_is: true },
            (Found::NotCopied(why), _) => Decision::Stop(why.clone()),
            (_, Order::EndWhenAbsent) => Decision::GiveUp(GiveUp::EndWhenAbsent),
            _ => Decision::Wait,
        }
    }
    fn answers_at_once(&self, _: &Order) -> Option<GiveUp> {
        None
    }
    fn waiting(&mut self, _: &Situation) -> Duration {
        Duration::from_secs(5)
    }
}

fn main() -> ExitCode {
    let given: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [archive, name, target] = given.as_slice() else { return ExitCode::from(200) };
    let (file, enough) = (archive.join(name), Path::new("/tmp/enough"));
    let mut clock = RealClock::new(Watcher::new([file.as_path(), enough], Events::Wanted));
    let mut file = File(file.clone(), target.clone());
    match restore(&mut file, &mut Enough(enough), &mut clock, &mut WaitForever) {
        Outcome::Restored => ExitCode::SUCCESS,
        Outcome::GaveUp(_) => ExitCode::from(1),
        // Above 125 the server stops instead of ending its recovery.
        Outcome::Stopped(_) | Outcome::Exit(_) => ExitCode::from(200),
    }
}
