//! libFuzzer for [`twowarm_fuzz::node_name`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| twowarm_fuzz::node_name(data));
