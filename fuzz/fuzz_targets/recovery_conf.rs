//! libFuzzer for [`twowarm_fuzz::recovery_conf`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::recovery_conf(data));
