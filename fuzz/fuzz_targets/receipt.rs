//! libFuzzer for [`twowarm_fuzz::receipt`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::receipt(data));
