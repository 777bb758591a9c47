// A notebook that survives a lying server: each note is a name, and the whole notebook can be put away as one content.
//
//   npx holdfast dev          (in one terminal)
//   npx tsx examples/notes.ts (in another)

import { connect, HoldfastError } from 'holdfast';

const client = await connect();
const text = new TextDecoder();

async function note(name: string): Promise<string | undefined> {
  try {
    const { chunks } = await client.read(`notes/${name}`);
    let found = '';
    for await (const chunk of chunks) found += text.decode(chunk, { stream: true });
    return found;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'not-found') return undefined;
    throw error;
  }
}

try {
  const before = await note('today');
  console.log(before === undefined ? 'No note for today yet.' : `Today's note was: ${before}`);

  const written = await client.write(
    'notes/today',
    new TextEncoder().encode(`written at ${new Date().toISOString()}`),
  );
  console.log(`Version ${written.version} is safe under ${written.address}.`);

  const { address, bytes } = await client.put(
    new TextEncoder().encode('An appendix that never changes.'),
  );
  const appendix = await client.get(address);
  for await (const chunk of appendix.chunks)
    console.log(`The appendix (${bytes} bytes): ${text.decode(chunk)}`);

  const { summary } = await client.status();
  console.log(summary);
} finally {
  await client.close();
}
