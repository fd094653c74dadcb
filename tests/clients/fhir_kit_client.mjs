// fhir-kit-client (npm): prints what came of each of its calls.
import { Client } from 'fhir-kit-client';

const { BASE, TOKEN, MARK } = process.env;
const client = new Client({ baseUrl: BASE, bearerToken: TOKEN });
const told = {};
const subject = (id) => ({ reference: `Patient/${id}` });

const smart = await client.smartAuthMetadata();
told.tokenUrl = String(smart.tokenUrl);
told.fhirVersion = (await client.capabilityStatement()).fhirVersion;

const made = await client.create({ resourceType: 'Patient', body: { resourceType: 'Patient', active: true, name: [{ family: MARK }] } });
const id = made.id;
told.read = (await client.read({ resourceType: 'Patient', id })).name[0].family;
told.updated = (await client.update({ resourceType: 'Patient', id, body: { ...made, gender: 'female' } })).meta.versionId;
told.patched = (await client.patch({ resourceType: 'Patient', id, jsonPatch: [{ op: 'replace', path: '/gender', value: 'male' }] })).gender;
told.vread = (await client.vread({ resourceType: 'Patient', id, version: '1' })).gender ?? 'none';

for (const value of [1, 2, 3]) {
  await client.create({
    resourceType: 'Observation',
    body: { resourceType: 'Observation', status: 'final', code: { text: MARK }, subject: subject(id), valueInteger: value },
  });
}
const found = await client.search({ resourceType: 'Observation', searchParams: { patient: id, _count: 2 } });
told.firstPage = found.entry.length;
told.nextPage = (await client.nextPage({ bundle: found })).entry.length;
told.posted = (await client.search({ resourceType: 'Patient', searchParams: { family: MARK }, options: { postSearch: true } })).entry.length;
told.compartment = (await client.compartmentSearch({ resourceType: 'Observation', compartment: { resourceType: 'Patient', id } })).entry.length;
told.history = (await client.history({ resourceType: 'Patient', id })).total;
told.typeHistory = (await client.history({ resourceType: 'Patient' })).type;

const entry = (method, url, resource) => ({ request: { method, url }, ...(resource ? { resource } : {}) });
const batch = await client.batch({
  body: { resourceType: 'Bundle', type: 'batch', entry: [entry('GET', `Patient/${id}`), entry('GET', `Patient?family=${MARK}`), entry('GET', 'Patient/none')] },
});
told.batch = batch.entry.map((each) => each.response.status.slice(0, 3));
const basic = { resourceType: 'Basic', id: MARK, code: { text: 'x' }, subject: subject(id) };
const perform = (...entries) => client.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry: entries } });
await perform(entry('PUT', `Basic/${MARK}`, basic));
const transaction = await perform(entry('DELETE', `Basic/${MARK}`), entry('PUT', `Basic/${MARK}-b`, { ...basic, id: `${MARK}-b` }));
told.transaction = transaction.entry.map((each) => each.response.status.slice(0, 3));
await client.delete({ resourceType: 'Patient', id });
told.gone = await client.read({ resourceType: 'Patient', id }).then(() => 200, (error) => error.response.status);
console.log(JSON.stringify(told));
