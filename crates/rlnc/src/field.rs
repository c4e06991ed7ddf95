//! The field GF(2^8) of the polynomial x^8 + x^4 + x^3 + x + 1 (0x11B, as in AES), one element at a
//! time. It adds by exclusive or. Long vectors never come here; they are the kernels' work.

/// The polynomial that products are reduced by.
pub const POLYNOMIAL: u16 = 0x11B;

/// What is left of `POLYNOMIAL` when x^8 is taken away: what a doubling adds on overflow.
pub(crate) const REDUCTION: u8 = 0x1B;

/// For every element its products with 0..16 and with 0, 16, .. 240: two lookups give a product, and
/// byte shuffles do sixteen of them at once. 8 KiB.
pub(crate) static NIBBLES: [[u8; 32]; 256] = nibbles();

static INVERSES: [u8; 256] = inverses();

/// The product of two elements.
///
/// ```
/// assert_eq!(craftec_rlnc::field::mul(0x57, 0x83), 0xC1); // the example of FIPS 197
/// ```
#[must_use]
pub fn mul(a: u8, b: u8) -> u8 {
    let products = &NIBBLES[usize::from(a)];
    products[usize::from(b & 15)] ^ products[16 + usize::from(b >> 4)]
}

/// The element whose product with `a` is 1; zero has none.
///
/// ```
/// use craftec_rlnc::field;
/// assert_eq!(field::inverse(0x53), Some(0xCA));
/// assert_eq!(field::inverse(0), None);
/// ```
#[must_use]
pub fn inverse(a: u8) -> Option<u8> {
    (a != 0).then(|| INVERSES[usize::from(a)])
}

/// A product bit by bit, for the tables.
pub(crate) const fn slow_mul(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { REDUCTION };
        b >>= 1;
    }
    product
}

const fn nibbles() -> [[u8; 32]; 256] {
    let mut table = [[0; 32]; 256];
    let mut a = 0;
    while a < 256 {
        let mut nibble = 0;
        while nibble < 16 {
            table[a][nibble] = slow_mul(a as u8, nibble as u8);
            table[a][16 + nibble] = slow_mul(a as u8, (nibble as u8) << 4);
            nibble += 1;
        }
        a += 1;
    }
    table
}

/// Inverses by walking the powers of 3, which generates the field's multiplicative group: the
/// inverse of 3^n is 3^(255 - n).
const fn inverses() -> [u8; 256] {
    let mut powers = [1; 256];
    let mut n = 1;
    while n < 256 {
        powers[n] = slow_mul(powers[n - 1], 3);
        n += 1;
    }
    let mut table = [0; 256];
    let mut n = 0;
    while n < 255 {
        table[powers[n] as usize] = powers[255 - n];
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_polynomials() {
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                // Carry-less product first, then division by the polynomial.
                let mut wide = 0u16;
                for bit in 0..8 {
                    wide ^= (u16::from(a) << bit) * u16::from(b >> bit & 1);
                }
                for bit in (8..15).rev() {
                    wide ^= (POLYNOMIAL << (bit - 8)) * (wide >> bit & 1);
                }
                assert_eq!(u16::from(mul(a, b)), wide, "{a} times {b}");
                assert_eq!(mul(a, b), slow_mul(a, b));
            }
        }
    }

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        assert_eq!(inverse(0), None);
        for a in 1..=255 {
            assert_eq!(inverse(a).map(|b| mul(a, b)), Some(1));
        }
    }
}
