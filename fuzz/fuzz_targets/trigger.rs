//! libFuzzer for [`twowarm_fuzz::trigger`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::trigger(data));
