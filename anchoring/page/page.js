// The page: a receipt is dropped on it, read in this browser, and told.

const AT = (id) => document.getElementById(id);

function line(list, kind, word, text) {
  const item = document.createElement("li");
  const strong = document.createElement("strong");
  strong.textContent = word;
  item.className = kind;
  item.append(strong, ` ${text}`);
  list.append(item);
}

async function show(file) {
  const steps = AT("steps");
  steps.replaceChildren();
  AT("left").replaceChildren();
  AT("facts").replaceChildren();
  AT("result").hidden = false;
  AT("after").hidden = true;
  AT("verdict").className = "";
  AT("verdict").textContent = "Checking ...";
  AT("name").textContent = file.name;
  const pinned = { key: AT("key").value.trim(), contract: AT("contract").value.trim() };
  try {
    if (file.size > MOST_BYTES) throw new Failure("receipt", `larger than ${MOST_BYTES} bytes`);
    const bytes = new Uint8Array(await file.arrayBuffer());
    const receipt = await verify(bytes, pinned, (step, text) => line(steps, "proved", `proved: ${step}`, text));
    for (const text of reservations(receipt, pinned)) line(AT("left"), "left", "not proved:", text);
    tell(receipt);
    if (pinned.key) conclude("good", "The receipt holds: this access is in the audit log as it stands here.");
    else conclude("open", "The receipt holds, if the key below is the one that the institution publishes.");
  } catch (error) {
    const step = error instanceof Failure ? error.step : "receipt";
    const reason = error instanceof Failure ? error.message : "it can not be read";
    line(steps, "failed", `FAILED: ${step}`, reason);
    conclude("bad", "The receipt does not hold. It was changed, or is not one of ours.");
  }
}

function conclude(kind, text) {
  AT("verdict").className = kind;
  AT("verdict").textContent = text;
  AT("verdict").focus();
}

// What the AuditEvent says, in the words that it has; never as markup.
function tell(receipt) {
  AT("after").hidden = false;
  AT("event").textContent = new TextDecoder().decode(receipt.event);
  let event = {};
  try {
    event = JSON.parse(new TextDecoder().decode(receipt.event));
  } catch {
    return;
  }
  for (const [name, value] of factsOf(event, receipt)) {
    const [term, said] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    said.textContent = value;
    AT("facts").append(term, said);
  }
}

function factsOf(event, receipt) {
  const all = (value) => (Array.isArray(value) ? value : []);
  const who = all(event.agent).map((agent) => agent?.who?.display || agent?.who?.reference || agent?.who?.identifier?.value);
  const what = all(event.entity).map((entity) => entity?.what?.reference);
  const why = all(event.purposeOfEvent).flatMap((each) => all(each?.coding).map((coding) => coding?.code));
  const told = (values) => [...new Set(values.filter((each) => typeof each === "string"))].join(", ");
  return [
    ["When", told([event.recorded])],
    ["Who", told(who)],
    ["Did", told(all(event.subtype).map((each) => each?.code))],
    ["Records", told(what)],
    ["Why", told(why)],
    ["Nothing was shown", told([event.outcome === "0" ? undefined : event.outcomeDesc])],
    ["Event number", `${receipt.index}, counted from 0, of ${receipt.size}`],
    ["Key of the log", receipt.logKeys[0]],
    ["Chain", `${receipt.chain.chainId}, contract ${hex(receipt.chain.contract)}, block ${receipt.chain.block}`],
  ].filter(([, value]) => value);
}

AT("file").addEventListener("change", () => AT("file").files[0] && show(AT("file").files[0]));
AT("print").addEventListener("click", () => window.print());
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  window.addEventListener(name, (event) => {
    event.preventDefault();
    AT("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
window.addEventListener("drop", (event) => event.dataTransfer.files[0] && show(event.dataTransfer.files[0]));
