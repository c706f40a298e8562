//! libFuzzer for [`twowarm_fuzz::postmaster_pid`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::postmaster_pid(data));
