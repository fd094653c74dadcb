// Bytes: how they are written in receipts, and the two hashes that are needed.

class Failure extends Error {
  constructor(step, reason) {
    super(reason);
    this.step = step;
  }
}

const UTF8 = new TextEncoder();

function concatenated(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function same(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function hex(bytes) {
  return "0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// 0x and lower-case digits; one spelling for each value.
function readHex(text, what, length) {
  if (typeof text !== "string" || !/^0x(?:[0-9a-f]{2})*$/.test(text)) {
    throw new Failure("receipt", `${what} is not 0x and lower-case hexadecimal digits`);
  }
  const bytes = Uint8Array.from(text.slice(2).match(/../g) || [], (pair) => parseInt(pair, 16));
  return ofLength(bytes, what, length);
}

// RFC 4648: section 5 without padding in receipts, section 4 in notes; other spellings of the same bytes are refused.
function readBase64(text, what, length, { url = true, step = "receipt" } = {}) {
  const alphabet = url ? /^[A-Za-z0-9_-]*$/ : /^[A-Za-z0-9+/]*={0,2}$/;
  if (typeof text !== "string" || !alphabet.test(text)) throw new Failure(step, `${what} is not base64`);
  const plain = url ? text.replace(/-/g, "+").replace(/_/g, "/") : text;
  let decoded;
  try {
    decoded = atob(url ? plain + "=".repeat((4 - (plain.length % 4)) % 4) : plain);
  } catch {
    throw new Failure(step, `${what} is not base64`);
  }
  const again = btoa(decoded);
  if ((url ? again.replace(/=+$/, "") : again) !== plain) throw new Failure(step, `${what} is not canonical base64`);
  return ofLength(Uint8Array.from(decoded, (letter) => letter.charCodeAt(0)), what, length, step);
}

function ofLength(bytes, what, length, step = "receipt") {
  if (length !== undefined && bytes.length !== length) {
    throw new Failure(step, `${what} has ${bytes.length} bytes, not ${length}`);
  }
  return bytes;
}

function bigEndian(bytes) {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concatenated(...parts)));
}

// Keccak-256, as the EVM hashes (not SHA3-256): browsers have none.
const KECCAK_ROUNDS = (() => {
  const constants = [];
  let state = 1;
  for (let round = 0; round < 24; round++) {
    let constant = 0n;
    for (let j = 0; j < 7; j++) {
      if (state & 1) constant |= 1n << BigInt((1 << j) - 1);
      state = (state << 1) ^ (state >> 7 ? 0x171 : 0);
    }
    constants.push(constant);
  }
  return constants;
})();
const LANE = (1n << 64n) - 1n;

function turned(lane, by) {
  const bits = BigInt(by % 64);
  return ((lane << bits) | (lane >> (64n - bits))) & LANE;
}

function permuted(lanes) {
  let a = lanes;
  for (const constant of KECCAK_ROUNDS) {
    const columns = [0, 1, 2, 3, 4].map((x) => a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]);
    a = a.map((lane, at) => lane ^ columns[(at + 4) % 5] ^ turned(columns[(at + 1) % 5], 1));
    const b = new Array(25);
    let [x, y, lane] = [1, 0, a[1]];
    b[0] = a[0];
    for (let step = 0; step < 24; step++) {
      [x, y] = [y, (2 * x + 3 * y) % 5];
      const next = a[x + 5 * y];
      b[x + 5 * y] = turned(lane, ((step + 1) * (step + 2)) / 2);
      lane = next;
    }
    a = b.map((value, at) => {
      const row = at - (at % 5);
      return value ^ (~b[row + ((at + 1) % 5)] & LANE & b[row + ((at + 2) % 5)]);
    });
    a[0] ^= constant;
  }
  return a;
}

function keccak256(message) {
  const rate = 136;
  const padded = new Uint8Array((Math.floor(message.length / rate) + 1) * rate);
  padded.set(message);
  padded[message.length] ^= 0x01;
  padded[padded.length - 1] ^= 0x80;
  let lanes = new Array(25).fill(0n);
  for (let block = 0; block < padded.length; block += rate) {
    for (let at = 0; at < rate / 8; at++) {
      const word = padded.subarray(block + 8 * at, block + 8 * at + 8);
      lanes[at] ^= bigEndian(Uint8Array.from(word).reverse());
    }
    lanes = permuted(lanes);
  }
  const found = new Uint8Array(32);
  for (let at = 0; at < 32; at++) found[at] = Number((lanes[at >> 3] >> BigInt(8 * (at & 7))) & 255n);
  return found;
}
