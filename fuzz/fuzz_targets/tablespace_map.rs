//! libFuzzer for [`twowarm_fuzz::tablespace_map`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::tablespace_map(data));
