// Compiles AuditAnchor.sol with solc-js.  Usage: node compile.js SOURCE.sol > AuditAnchor.json
// Run where `solc` is installed (npm ci with the package-lock.json beside this file).
const fs = require("fs");
const crypto = require("crypto");
const path = require("path");
const solc = require(path.join(process.cwd(), "node_modules", "solc"));

const source = fs.readFileSync(process.argv[2]);
const settings = {
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  optimizer: { enabled: true, runs: 10000 },
  viaIR: false,
};
const input = {
  language: "Solidity",
  sources: { "AuditAnchor.sol": { content: source.toString("utf8") } },
  settings: {
    ...settings,
    outputSelection: {
      "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers"] },
    },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const error of output.errors || []) console.error(error.formattedMessage);
const contract = output.contracts["AuditAnchor.sol"]["AuditAnchor"];
const artifact = {
  contract: "AuditAnchor",
  compiler: solc.version(),
  settings,
  sourceSha256: crypto.createHash("sha256").update(source).digest("hex"),
  methodIdentifiers: contract.evm.methodIdentifiers,
  abi: contract.abi,
  creationBytecode: "0x" + contract.evm.bytecode.object,
  runtimeBytecode: "0x" + contract.evm.deployedBytecode.object,
};
process.stdout.write(JSON.stringify(artifact, null, 1) + "\n");
