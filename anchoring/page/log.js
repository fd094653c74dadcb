// The log: inclusion in its Merkle tree (RFC 9162, 2.1.3.2) and its checkpoint (C2SP signed-note, tlog-checkpoint).

const ED25519_NOTE = 0x01;
const COSIGNATURE = 0x04;
const MLDSA44 = 0x06;
const PUBLIC_BYTES = { [ED25519_NOTE]: 32, [COSIGNATURE]: 32, [MLDSA44]: 1312 };
const NAME = /^[^\s+\u0000-\u001f\u007f]{1,255}$/u;

async function checkInclusion(leaf, index, size, path, root) {
  const fail = (reason) => {
    throw new Failure("inclusion", reason);
  };
  if (index >= size) fail(`index ${index} is not in a tree of ${size} leaves`);
  let [position, last, found] = [index, size - 1n, leaf];
  for (const node of path) {
    if (last === 0n) fail("the path has nodes too many");
    if (position & 1n || position === last) {
      found = await sha256([1], node, found);
      while (!(position & 1n) && position) [position, last] = [position >> 1n, last >> 1n];
    } else {
      found = await sha256([1], found, node);
    }
    [position, last] = [position >> 1n, last >> 1n];
  }
  if (last !== 0n) fail("the path has nodes too few");
  if (!same(found, root)) fail(`leaf ${index} does not lead to the root of size ${size}`);
}

function readNote(note) {
  const fail = (reason) => {
    throw new Failure("checkpoint", reason);
  };
  const middle = note.lastIndexOf("\n\n");
  const lines = note.slice(0, middle).split("\n");
  if (middle < 0 || lines.length !== 3) fail("a checkpoint is three lines, a blank line, and signatures");
  if (!note.endsWith("\n")) fail("the last signature line does not end");
  const signed = note.slice(middle + 2, -1).split("\n");
  if (signed.length > 32) fail("a note has at most 32 signatures");
  const [origin, size, root] = lines;
  if (!NAME.test(origin)) fail("the origin is no name");
  if (!/^(?:0|[1-9][0-9]{0,19})$/.test(size) || BigInt(size) >= 1n << 64n) fail("the size is no number");
  return {
    origin,
    size: BigInt(size),
    root: readBase64(root, "the root", 32, { url: false, step: "checkpoint" }),
    text: `${lines.join("\n")}\n`,
    signatures: signed.map(readSignature),
  };
}

function readSignature(line) {
  const found = /^— ([^\s+]{1,255}) ([A-Za-z0-9+/=]{1,8192})$/u.exec(line);
  if (!found) throw new Failure("checkpoint", "a signature line has a wrong form");
  const bytes = readBase64(found[2], "a signature", undefined, { url: false, step: "checkpoint" });
  if (bytes.length <= 4) throw new Failure("checkpoint", "a signature line holds no signature");
  return { name: found[1], keyId: bytes.slice(0, 4), signature: bytes.slice(4) };
}

// A C2SP verifier key: name+hex key id+base64(type byte | key).
async function readKey(vkey) {
  const [name, keyId, ...rest] = vkey.split("+");
  const bytes = readBase64(rest.join("+"), "a key", undefined, { url: false, step: "checkpoint" });
  const [type, key] = [bytes[0], bytes.slice(1)];
  if (!NAME.test(name) || key.length !== PUBLIC_BYTES[type]) {
    throw new Failure("checkpoint", "not a verifier key of a known type");
  }
  const id = (await sha256(UTF8.encode(`${name}\n`), bytes)).slice(0, 4);
  if (hex(id).slice(2) !== keyId) throw new Failure("checkpoint", "the verifier key's id is that of another key");
  return { name, type, key, id };
}

// Every signature by this key has to be right, and there has to be one.
async function checkSigned(note, key, step = "checkpoint") {
  const made = note.signatures.filter((each) => each.name === key.name && same(each.keyId, key.id));
  if (!made.length) throw new Failure(step, `no signature by key ${hex(key.id).slice(2)}`);
  for (const { signature } of made) {
    const [message, plain] = signedBy(key, note, signature);
    if (!(await ed25519(key.key, plain, message))) throw new Failure(step, "an Ed25519 signature is wrong");
  }
}

// What an Ed25519 key of this type signed, and the bare signature (C2SP tlog-cosignature for type 0x04).
function signedBy(key, note, signature) {
  if (key.type === ED25519_NOTE) return [UTF8.encode(note.text), signature];
  const time = bigEndian(signature.slice(0, 8));
  return [UTF8.encode(`cosignature/v1\ntime ${time}\n${note.text}`), signature.slice(8)];
}

async function ed25519(key, signature, message) {
  if (signature.length !== 64) return false;
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    throw new Failure("checkpoint", "this browser does not know Ed25519: use a newer one, or consentry verify");
  }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
}
