//! G.711: µ-law and A-law, eight bits a sample at 8 kHz (ITU-T G.711, 11/1988).

/// The largest magnitude µ-law can carry before its bias is added.
const MU_CLIP: i32 = 32_635;
/// The bias of µ-law.
const MU_BIAS: i32 = 0x84;

/// A µ-law byte as a 16-bit sample.
#[must_use]
pub const fn ulaw_to_pcm16(byte: u8) -> i16 {
    let code = !byte;
    let exponent = (code >> 4) & 0x07;
    let magnitude = ((((code & 0x0F) as i16) << 3) + MU_BIAS as i16) << exponent;
    let value = magnitude - MU_BIAS as i16;
    if code & 0x80 == 0 { value } else { -value }
}

/// A 16-bit sample as a µ-law byte.
#[must_use]
pub const fn pcm16_to_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let mut magnitude = (sample as i32).abs();
    if magnitude > MU_CLIP {
        magnitude = MU_CLIP;
    }
    magnitude += MU_BIAS;
    // The bias puts the leading one at bit 7 or above, so the exponent is 0 to 7.
    let exponent = 24 - magnitude.leading_zeros() as i32;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    !(sign | ((exponent as u8) << 4) | mantissa as u8)
}

/// An A-law byte as a 16-bit sample.
#[must_use]
pub const fn alaw_to_pcm16(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let exponent = (code >> 4) & 0x07;
    let mantissa = ((code & 0x0F) as i16) << 4;
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

/// A 16-bit sample as an A-law byte.
#[must_use]
pub const fn pcm16_to_alaw(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0, !(sample as i32)) } else { (0x80, sample as i32) };
    let code = if magnitude < 256 {
        (magnitude >> 4) as u8
    } else {
        let exponent = 24 - magnitude.leading_zeros() as i32;
        ((exponent as u8) << 4) | ((magnitude >> (exponent + 3)) & 0x0F) as u8
    };
    (sign | code) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_there_and_back() {
        for byte in 0..=u8::MAX {
            // µ-law has two zeros; the negative one comes back as the positive.
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(pcm16_to_ulaw(ulaw_to_pcm16(byte)), expected, "µ-law {byte:#x}");
            assert_eq!(pcm16_to_alaw(alaw_to_pcm16(byte)), byte, "A-law {byte:#x}");
        }
    }

    #[test]
    fn loudest_and_quietest_codes_are_those_of_the_standard() {
        assert_eq!(ulaw_to_pcm16(0x80), 32_124);
        assert_eq!(ulaw_to_pcm16(0x00), -32_124);
        assert_eq!(alaw_to_pcm16(0xAA), 32_256);
        assert_eq!(alaw_to_pcm16(0xD5), 8);
        assert_eq!(pcm16_to_ulaw(i16::MIN), 0x00);
        assert_eq!(pcm16_to_alaw(i16::MIN), 0x2A);
    }
}
