//! No ciphertext panics the cipher, whether it is arbitrary or a true one that has been changed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mynah::wechat::{AesKey, Cipher, WhichKey};

const KEYS: [&str; 2] = [
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fuzz_target!(|input: (&str, Vec<(u16, u8)>, &[u8])| {
    let (encrypt, changes, message) = input;
    let [Ok(current), Ok(previous)] = KEYS.map(AesKey::parse) else {
        unreachable!("the keys are valid");
    };
    let cipher = Cipher::new(current, Some(previous), "wxb11529c136998cb6");
    let _ = cipher.decrypt(encrypt);
    let _ = AesKey::parse(encrypt);

    let sealed = cipher.encrypt(WhichKey::Previous, [7; 16], message);
    let opened = cipher.decrypt(&sealed);
    assert!(
        opened.is_ok_and(|opened| opened.message == message && opened.key == WhichKey::Previous)
    );

    let mut changed = sealed.into_bytes();
    for (at, to) in changes {
        let at = usize::from(at) % changed.len();
        changed[at] = BASE64[usize::from(to) % BASE64.len()];
    }
    if let Ok(changed) = std::str::from_utf8(&changed) {
        let _ = cipher.decrypt(changed);
    }
});
