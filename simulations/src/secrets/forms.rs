//! What programs write of bytes: themselves, hex, base64, and the list that `Debug` makes of them.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The forms of some bytes, they themselves first. Each stands as it is in whatever the bytes are a part of.
pub fn of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let listed = format!("{bytes:?}");
    let mut forms = vec![
        bytes.to_vec(),
        hex(bytes, |byte| format!("{byte:02x}")),
        hex(bytes, |byte| format!("{byte:02X}")),
        // What stands before and behind them in a longer list is not theirs.
        listed.trim_matches(['[', ']']).as_bytes().to_vec(),
    ];
    for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.extend((0..3).map(|before| base64_behind(before, bytes, &alphabet)));
    }
    forms
}

fn hex(bytes: &[u8], written: impl Fn(&u8) -> String) -> Vec<u8> {
    bytes.iter().map(written).collect::<String>().into_bytes()
}

/// The characters that tell of nothing but `bytes`, where so many others stand before them, beside whole groups of three.
fn base64_behind(before: usize, bytes: &[u8], alphabet: &GeneralPurpose) -> Vec<u8> {
    let written = alphabet.encode([&[0; 3][..before], bytes].concat());
    let (first, behind_last) = ((8 * before).div_ceil(6), 8 * (before + bytes.len()) / 6);
    written.as_bytes()[first..behind_last].to_vec()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    /// Bytes whose base64 differs between the alphabets.
    const BYTES: [u8; 32] = [
        0xfb, 0xff, 0xbf, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99, 108, 117, 126, 135, 144, 153, 162, 171, 180, 189, 198, 207,
        216, 225, 234, 243, 0xfb, 0xff,
    ];

    #[test]
    fn bytes_are_known_in_whatever_form_and_wherever_they_stand() {
        let forms = of(&BYTES);
        assert_eq!(forms[0], BYTES);
        assert!(forms.iter().all(|form| form.len() >= BYTES.len()));
        for (before, behind) in [(0, 0), (1, 4), (2, 3), (3, 1), (4, 2), (5, 5)] {
            let around = [&[0xa7; 5][..before], &BYTES, &[0x5c; 5][..behind]].concat();
            let lower: String = around.iter().map(|byte| format!("{byte:02x}")).collect();
            let texts = [lower.to_uppercase(), lower, format!("{around:?}"), STANDARD.encode(&around), URL_SAFE.encode(&around)];
            for text in texts {
                let stands = |form: &Vec<u8>| text.as_bytes().windows(form.len()).any(|part| part == form);
                assert_eq!(forms.iter().filter(|form| stands(form)).count(), 1, "{before} bytes before: {text}");
            }
        }
    }
}
