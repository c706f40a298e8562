//! libFuzzer for [`twowarm_fuzz::timeline_history`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::timeline_history(data));
