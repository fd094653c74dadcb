// A receipt, read and proved step by step, as `consentry verify` does; what a browser can not check, it says.

const MOST_BYTES = 1024 * 1024;
const MOST_NODES = 64;
const EVENT = ["event", "k", "commitment"];
const PROOF = ["leafIndex", "treeSize", "inclusionProof", "checkpoint", "logKeys"];
const WITNESSES = ["witnessKeys", "quorum"];
const CHAIN = [
  ...["chainId", "genesisHash", "contract", "codeHash", "logId", "assurance"],
  ...["transaction", "transactionHash", "block", "blockHash"],
];

function readReceipt(bytes) {
  if (bytes.length > MOST_BYTES) throw new Failure("receipt", `larger than ${MOST_BYTES} bytes`);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Failure("receipt", "not UTF-8");
  }
  const read = StrictJson.read(text);
  const isFirst = read instanceof Map && read.get("version") === FIRST_VERSION;
  const named = exactly(read, ["version", ...EVENT, ...PROOF, "chain", ...(isFirst ? [] : WITNESSES)], "the document");
  if (!isFirst && named.version !== VERSION) throw new Failure("receipt", `not ${VERSION}`);
  return {
    event: readBase64(textOf(named.event, "event"), "event"),
    k: readBase64(textOf(named.k, "k"), "k", 32),
    commitment: readBase64(textOf(named.commitment, "commitment"), "commitment", 32),
    index: wholeNumber(named.leafIndex, "leafIndex"),
    size: wholeNumber(named.treeSize, "treeSize"),
    path: textsOf(named.inclusionProof, "inclusionProof", MOST_NODES).map((each) => readBase64(each, "a node", 32)),
    checkpoint: textOf(named.checkpoint, "checkpoint"),
    logKeys: textsOf(named.logKeys, "logKeys", 2),
    witnessKeys: isFirst ? [] : textsOf(named.witnessKeys, "witnessKeys", 30),
    quorum: isFirst ? 0n : wholeNumber(named.quorum, "quorum"),
    chain: readChain(exactly(named.chain, CHAIN, "chain")),
  };
}

function readChain(named) {
  const assurance = textOf(named.assurance, "assurance");
  if (!["self-operated", "public"].includes(assurance)) throw new Failure("receipt", "assurance is not known");
  return {
    chainId: wholeNumber(named.chainId, "chainId"),
    genesisHash: readHex(named.genesisHash, "genesisHash", 32),
    contract: readHex(named.contract, "contract", 20),
    codeHash: readHex(named.codeHash, "codeHash", 32),
    log: readHex(named.logId, "logId", 32),
    transaction: readHex(named.transaction, "transaction"),
    hash: readHex(named.transactionHash, "transactionHash", 32),
    block: wholeNumber(named.block, "block"),
    blockHash: readHex(named.blockHash, "blockHash", 32),
    assurance,
  };
}

// Give each step that is proved to `tell`; throws a Failure that names the first that is not.
async function verify(bytes, pinned, tell) {
  const receipt = readReceipt(bytes);
  tell("receipt", "it has the form of a receipt");
  await checkCommitment(receipt);
  tell("commitment", "the event and its key give the commitment in the log");
  const note = readNote(receipt.checkpoint);
  if (receipt.size !== note.size) {
    throw new Failure("inclusion", "the proof is for another tree size than the checkpoint's");
  }
  const leaf = await sha256([0], receipt.commitment);
  await checkInclusion(leaf, receipt.index, receipt.size, receipt.path, note.root);
  tell("inclusion", `leaf ${receipt.index} is in the tree of ${receipt.size} leaves`);
  await checkCheckpoint(receipt, note, pinned.key);
  tell("checkpoint", `${note.origin} signed that tree (Ed25519)`);
  const witnesses = await checkWitnesses(receipt, note);
  if (witnesses.length) tell("witnesses", `cosigned by ${witnesses.join(", ")} (Ed25519)`);
  await checkAnchor(receipt.chain, note, pinned.contract);
  tell("anchor", `transaction ${hex(receipt.chain.hash)} carries it`);
  return receipt;
}

async function checkCommitment(receipt) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", receipt.k, algorithm, false, ["sign"]);
  const message = concatenated(UTF8.encode("fhir-audit/v1\u0000"), receipt.event);
  const found = new Uint8Array(await crypto.subtle.sign("HMAC", key, message));
  if (!same(found, receipt.commitment)) throw new Failure("commitment", "event and key do not give the commitment");
}

async function checkCheckpoint(receipt, note, pinned) {
  const keys = await Promise.all(receipt.logKeys.map(readKey));
  const types = keys.map((key) => key.type);
  if (types.length !== 2 || types[0] !== ED25519_NOTE || types[1] !== MLDSA44) {
    throw new Failure("checkpoint", "the log's keys are not one Ed25519 and one ML-DSA-44 key");
  }
  const asked = pinned ? [...keys, await readKey(pinned)] : keys;
  if (asked.some((key) => key.name !== note.origin)) {
    throw new Failure("checkpoint", "the checkpoint's origin is not the name of the log's key");
  }
  for (const key of asked.filter((each) => each.type === ED25519_NOTE)) await checkSigned(note, key);
  if (pinned && !receipt.logKeys.includes(pinned)) throw new Failure("checkpoint", "the log's key is not the pinned one");
}

// Every witness that the receipt names has to have cosigned; the names of those whose Ed25519 signature was checked.
async function checkWitnesses(receipt, note) {
  const keys = await Promise.all(receipt.witnessKeys.map(readKey));
  for (const key of keys) {
    if (![COSIGNATURE, MLDSA44].includes(key.type) || key.name === note.origin) {
      throw new Failure("witnesses", "a witness's key is not one for cosignatures, or the log's own");
    }
    const made = note.signatures.some((each) => each.name === key.name && same(each.keyId, key.id));
    if (!made) throw new Failure("witnesses", "a witness that the receipt names did not cosign");
    if (key.type === COSIGNATURE) await checkSigned(note, key, "witnesses");
  }
  return [...new Set(keys.filter((key) => key.type === COSIGNATURE).map((key) => key.name))].sort();
}

async function checkAnchor(chain, note, contract) {
  const found = readTransaction(chain.transaction);
  const call = readCall(found.call, readHex(ANCHOR_SELECTOR, "selector", 4));
  const log = await sha256(UTF8.encode(note.origin));
  const facts = [
    ["transaction hash", chain.hash, keccak256(chain.transaction)],
    ["contract", chain.contract, found.to],
    ["log id", chain.log, log],
    ["log id in the transaction", chain.log, call.log],
    ["root", note.root, call.root],
  ];
  if (contract) facts.push(["contract pinned", readHex(contract.toLowerCase(), "the contract", 20), chain.contract]);
  if (!CODE_HASHES.includes(hex(chain.codeHash))) throw new Failure("anchor", "the contract code is another one");
  for (const [what, said, carried] of facts) {
    if (!same(said, carried)) throw new Failure("anchor", `the ${what} is another one`);
  }
  if (chain.chainId !== found.chainId) throw new Failure("anchor", "the chain id is another one");
  if (note.size !== call.size) throw new Failure("anchor", "the size is another one");
}

// What a successful verification still does not prove.
function reservations(receipt, pinned) {
  const found = ["who signed the transaction, and ML-DSA-44 signatures: consentry verify checks both"];
  if (!pinned.key) found.push("the log's keys are those in the receipt: compare them with what the institution publishes");
  if (!pinned.contract) found.push("the contract is that in the receipt: compare it with what the institution publishes");
  const names = new Set(receipt.witnessKeys.map((vkey) => vkey.split("+")[0]));
  if (!names.size) found.push("no witness cosigned the tree: somebody else may have been shown another one");
  else found.push("the witnesses' keys are those in the receipt: compare them with what they publish");
  if (names.size && BigInt(names.size) < receipt.quorum) {
    found.push(`${names.size} witnesses cosigned, the log's operator asks for ${receipt.quorum}`);
  }
  found.push("no chain was asked whether it holds the transaction: this page sends nothing anywhere");
  if (receipt.chain.assurance === "self-operated") {
    found.push("the log's operator runs this chain, which by itself proves nothing to outsiders");
  }
  return found;
}
