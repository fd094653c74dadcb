// @medplum/core (npm): prints what came of each of its calls.
import { MedplumClient } from '@medplum/core';

const { BASE, TOKEN, MARK } = process.env;
const url = new URL(BASE);
const medplum = new MedplumClient({ baseUrl: `${url.origin}/`, fhirUrlPath: url.pathname.slice(1), accessToken: TOKEN, cacheTime: 0 });
const told = {};

const made = await medplum.createResource({ resourceType: 'Patient', name: [{ family: MARK }], identifier: [{ system: 'urn:test', value: MARK }] });
told.read = (await medplum.readResource('Patient', made.id)).name[0].family;
told.same = (await medplum.createResourceIfNoneExist({ resourceType: 'Patient', identifier: [{ system: 'urn:test', value: MARK }] }, `identifier=urn:test|${MARK}`)).id === made.id;
told.updated = (await medplum.updateResource({ ...made, gender: 'female' })).meta.versionId;
told.upserted = (await medplum.upsertResource({ ...made, gender: 'male' }, { identifier: `urn:test|${MARK}` })).gender;
told.patched = (await medplum.patchResource('Patient', made.id, [{ op: 'add', path: '/active', value: true }])).active;
told.found = (await medplum.searchResources('Patient', `identifier=${MARK}`)).length;
told.one = (await medplum.searchOne('Patient', { identifier: MARK })).id === made.id;
told.history = (await medplum.readHistory('Patient', made.id)).entry.length;
const batch = await medplum.executeBatch({ resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: `Patient/${made.id}` } }] });
told.batch = batch.entry[0].response.status.slice(0, 3);
const binary = await medplum.createBinary({ data: 'plain text', contentType: 'text/plain', filename: 'note.txt' });
told.binary = Buffer.from(binary.data, 'base64').toString();
told.everything = (await medplum.readPatientEverything(made.id)).entry[0].resource.id === made.id;
told.validated = (await medplum.validateResource({ resourceType: 'Patient', active: true })).resourceType;
await medplum.deleteResource('Patient', made.id);
told.gone = await medplum.readResource('Patient', made.id).then(() => 'there', (error) => error.outcome.issue[0].code);
console.log(JSON.stringify(told));
