import { decodeMessage } from '../../src/wire/registry.ts';
import { Fabric } from '../simulator/network.ts';
import { run } from './run.ts';

const seed = Number(process.argv[2]);
const original = Fabric.prototype.arrived;
const hits: string[] = [];
Fabric.prototype.arrived = function (delivery) {
  const m = decodeMessage(delivery.type, delivery.payload);
  if (m !== undefined) {
    const v = m.value as Record<string, unknown>;
    const n = v.nonce instanceof Uint8Array ? Buffer.from(v.nonce).toString('hex').slice(-6) : '';
    const id = v.object ?? v.block;
    const x = id instanceof Uint8Array ? Buffer.from(id).toString('hex').slice(0, 6) : '';
    const hd = (Array.isArray(v.header) ? v.header[0] : v.header) as
      | { version: { counter: number; digest: Uint8Array } }
      | undefined;
    const ver = (hd?.version ?? v.version) as { counter: number; digest: Uint8Array } | undefined;
    console.log(
      this.simulation.nowUs,
      `${delivery.from}>${delivery.to}`,
      m.name,
      n,
      x,
      v.epoch ?? '',
      v.code ?? '',
      ver === undefined
        ? ''
        : `v${ver.counter}.${Buffer.from(ver.digest).toString('hex').slice(0, 4)}`,
      Array.isArray(v.data) ? `data=${v.data.length}` : '',
    );
  }
  return original.call(this, delivery);
};
const r = await run({
  seed,
  onTraceLine: (l) => {
    if (!/ deliver /.test(l) && !/ timer /.test(l)) console.log(l);
  },
});
console.log(r.failure, hits.length);
