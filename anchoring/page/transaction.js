// The anchor: an EIP-1559 transaction that carries log, size and root to a contract.  Who signed it is not checked here.

function readTransaction(raw) {
  const fail = (reason) => {
    throw new Failure("anchor", reason);
  };
  if (raw[0] !== 2) fail("not an EIP-1559 transaction");
  const [fields, stop] = readRlp(raw, 1, 0);
  if (stop !== raw.length || !Array.isArray(fields) || fields.length !== 12) fail("not an EIP-1559 transaction");
  if (!same(concatenated([2], writeRlp(fields)), raw)) fail("the transaction is not in canonical form");
  const [chainId, , , , , to, value, call, access] = fields;
  if (value.length || !Array.isArray(access) || access.length) fail("the transaction does more than anchor");
  return { chainId: bigEndian(chainId), to, call };
}

function readRlp(bytes, at, depth) {
  const first = bytes[at];
  if (first === undefined || depth > 3) throw new Failure("anchor", "the transaction is cut short");
  if (first < 0x80) return [bytes.slice(at, at + 1), at + 1];
  const base = first < 0xc0 ? 0x80 : 0xc0;
  let [length, start] = [first - base, at + 1];
  if (length > 55) {
    const wide = length - 55;
    length = Number(bigEndian(bytes.slice(start, start + wide)));
    start += wide;
  }
  const stop = start + length;
  if (!(stop <= bytes.length)) throw new Failure("anchor", "the transaction is cut short");
  if (base === 0x80) return [bytes.slice(start, stop), stop];
  const items = [];
  for (let next = start; next < stop; ) {
    const [item, after] = readRlp(bytes, next, depth + 1);
    items.push(item);
    next = after;
  }
  return [items, stop];
}

function writeRlp(item) {
  if (item instanceof Uint8Array) {
    return item.length === 1 && item[0] < 0x80 ? item : concatenated(rlpHead(0x80, item.length), item);
  }
  const body = concatenated(...item.map(writeRlp));
  return concatenated(rlpHead(0xc0, body.length), body);
}

function rlpHead(base, length) {
  if (length < 56) return [base + length];
  const size = [];
  for (let left = length; left; left = Math.floor(left / 256)) size.unshift(left % 256);
  return [base + 55 + size.length, ...size];
}

// anchor(bytes32 log, uint64 size, bytes32 root, bytes32[] proof)
function readCall(call, selector) {
  const words = [];
  for (let at = 4; at < call.length; at += 32) words.push(call.slice(at, at + 32));
  const nodes = words.length - 5;
  const right =
    same(call.slice(0, 4), selector) &&
    nodes >= 0 &&
    words.every((word) => word.length === 32) &&
    bigEndian(words[3]) === 128n &&
    bigEndian(words[4]) === BigInt(nodes);
  if (!right) throw new Failure("anchor", "the transaction is no call of anchor");
  return { log: words[0], size: bigEndian(words[1]), root: words[2] };
}
