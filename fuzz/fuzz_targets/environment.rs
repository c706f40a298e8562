//! libFuzzer for [`twowarm_fuzz::environment`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::environment(data));
