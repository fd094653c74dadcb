// Compiles every contract of a folder with solc-js.  Usage: node compile.js FOLDER OUT
// Writes OUT/<contract>.json for each FOLDER/<contract>.sol that can be deployed, and for the timelock of OpenZeppelin.
// Run where `solc` and `@openzeppelin/contracts` are installed (npm ci with the package-lock.json beside this file).
const fs = require("fs");
const crypto = require("crypto");
const path = require("path");
const modules = path.join(process.cwd(), "node_modules");
const solc = require(path.join(modules, "solc"));

const [folder, out] = process.argv.slice(2);
const TIMELOCK = "@openzeppelin/contracts/governance/TimelockController.sol";
const settings = {
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  optimizer: { enabled: true, runs: 10000 },
  viaIR: false,
};
const read = (name) => fs.readFileSync(name.startsWith("@") ? path.join(modules, name) : path.join(folder, name));
const names = fs.readdirSync(folder).filter((name) => name.endsWith(".sol")).sort();
const sources = {};
for (const name of [...names, TIMELOCK]) sources[name] = { content: read(name).toString("utf8") };
const input = {
  language: "Solidity",
  sources,
  settings: {
    ...settings,
    outputSelection: {
      "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode", "evm.methodIdentifiers"] },
    },
  },
};
const findImport = (name) => ({ contents: read(name).toString("utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
for (const error of output.errors || []) {
  const theirs = error.severity === "warning" && error.sourceLocation && error.sourceLocation.file.startsWith("@");
  if (!theirs) console.error(error.formattedMessage);
}

// One member, function or event a line: a difference is seen, and the file stays short.
const lines = (values, open, close) => open + "\n" + values.map((value) => "  " + value).join(",\n") + "\n " + close;
for (const name of [...names, TIMELOCK]) {
  const title = path.basename(name, ".sol");
  const contract = output.contracts[name][title];
  if (!contract.evm.bytecode.object) continue; // abstract
  const methods = Object.entries(contract.evm.methodIdentifiers);
  const immutables = Object.values(contract.evm.deployedBytecode.immutableReferences || {}).flat();
  const members = {
    contract: JSON.stringify(title),
    compiler: JSON.stringify(solc.version()),
    settings: JSON.stringify(settings),
    sourceSha256: JSON.stringify(crypto.createHash("sha256").update(read(name)).digest("hex")),
    methodIdentifiers: lines(methods.map(([at, id]) => JSON.stringify(at) + ": " + JSON.stringify(id)), "{", "}"),
    abi: lines(contract.abi.map((item) => JSON.stringify(item)), "[", "]"),
    creationBytecode: JSON.stringify("0x" + contract.evm.bytecode.object),
    runtimeBytecode: JSON.stringify("0x" + contract.evm.deployedBytecode.object),
    // where the constructor writes words into the runtime code, as [start, bytes]
    immutables: JSON.stringify(immutables.map(({ start, length }) => [start, length]).sort((a, b) => a[0] - b[0])),
  };
  const text = Object.entries(members).map(([member, value]) => " " + JSON.stringify(member) + ": " + value);
  fs.writeFileSync(path.join(out, title + ".json"), "{\n" + text.join(",\n") + "\n}\n");
}
