//! libFuzzer for [`twowarm_fuzz::backup_history`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::backup_history(data));
