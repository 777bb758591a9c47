// A group of engines on one clock for the tests of this folder: a network that reorders, drops, doubles and cuts; disks
// that lose what they have not confirmed; clients that ask again. It checks after every event what must always hold.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { Prng } from '../../base/prng.ts';
import type { ReplicationMessage } from '../../wire/replication-registry.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  replicationMessageNumber,
} from '../../wire/replication-registry.ts';
import type {
  Effects,
  EngineEvent,
  PageChange,
  SavedCheckpoint,
  Send,
  Sender,
} from '../contract.ts';
import { Core } from './core.ts';
import { VrEngine } from './engine.ts';
import { type VrParameters, vrParameters } from './parameters.ts';
import { type VrRules, vrRules } from './rules.ts';
import { TestChecks } from './test-checks.ts';
import { TestClient } from './test-client.ts';
import { type ClusterOptions, quickParameters } from './test-options.ts';
import { CountingService } from './test-service.ts';
import { TestTime } from './test-time.ts';
import { Violation } from './test-violation.ts';

/** What is not durable yet. */
interface Unsynced {
  readonly compact: readonly Bytes[] | undefined;
  readonly records: readonly Bytes[];
}

interface Waiting {
  readonly append: number;
  readonly sends: readonly Send[];
  readonly mark: number | undefined;
}

export interface Node {
  readonly index: number;
  engine: VrEngine;
  service: CountingService;
  isUp: boolean;
  hasStarted: boolean;
  /** Counts restarts: what was under way before one is void. */
  life: number;
  records: Bytes[];
  checkpoint: (Omit<SavedCheckpoint, 'pages'> & { pages: Map<string, PageChange> }) | undefined;
  unsynced: Unsynced[];
  appends: number;
  durable: number;
  isSyncing: boolean;
  waiting: Waiting[];
  timers: Map<string, number>;
  checkedTo: number;
}

export interface Packet {
  readonly from: Sender;
  readonly to: number | Bytes;
  readonly message: ReplicationMessage;
}

export class TestCluster {
  readonly prng: Prng;
  readonly size: number;
  readonly faults: number;
  readonly parameters: VrParameters;
  readonly nodes: Node[] = [];
  readonly clients: TestClient[] = [];
  readonly members: Bytes[];
  readonly instance: Bytes = new Uint8Array(32).fill(7);
  lossPerMille: number;
  doublePerMille: number;
  /** Chance of a copy of a message to come very late, of 1000. */
  latePerMille = 0;
  readonly delayMsMax: number;
  readonly syncMsMax: number;
  /** Links that carry nothing now: `from * size + to`. */
  readonly cut = new Set<number>();
  /** Members whose disks confirm nothing. */
  readonly stalled = new Set<number>();
  /** Sees every packet; false: it is lost. */
  filter: (packet: Packet) => boolean = () => true;
  readonly counts = new Map<string, number>();
  sent = 0;
  /** As many operations as any client has been told of: no later read may give less. */
  floor = 0;
  readonly #checks = new TestChecks();
  readonly #options: ClusterOptions;
  readonly #rules: VrRules;
  readonly #time = new TestTime();
  #nonces = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.prng = new Prng(options.seed);
    this.faults = options.faults ?? 1;
    this.size = 2 * this.faults + 1;
    this.parameters = vrParameters({ ...quickParameters, ...options.parameters });
    this.#rules = { ...vrRules, ...options.rules };
    this.lossPerMille = options.lossPerMille ?? 0;
    this.doublePerMille = options.doublePerMille ?? 0;
    this.delayMsMax = options.delayMsMax ?? 3;
    this.syncMsMax = options.syncMsMax ?? 3;
    this.members = Array.from({ length: this.size }, (_, i) => new Uint8Array(32).fill(100 + i));
    for (let i = 0; i < this.size; i++) this.nodes.push(this.#newNode(i));
    for (let i = 0; i < (options.clients ?? 2); i++) this.clients.push(new TestClient(this, i));
  }

  // ---- Nodes ----

  #newNode(index: number): Node {
    return {
      index,
      ...this.#newEngine(index),
      isUp: false,
      hasStarted: false,
      life: 0,
      records: [],
      checkpoint: this.#inherited(index),
      unsynced: [],
      appends: 0,
      durable: 0,
      isSyncing: false,
      waiting: [],
      timers: new Map(),
      checkedTo: 0,
    };
  }

  #inherited(index: number): Node['checkpoint'] {
    const { genesis, heirs = [] } = this.#options;
    if (genesis === undefined || !heirs.includes(index)) return undefined;
    const pages = new Map([...genesis.pages].map((each) => [`${each.region}/${each.page}`, each]));
    return { sequence: 0, root: genesis.root, notes: new Uint8Array(0), pages };
  }

  #newEngine(index: number): { engine: VrEngine; service: CountingService } {
    const service = new CountingService((client, number) => {
      throw new Violation(`request ${number} of client ${client} is executed twice at ${index}`);
    });
    const { genesis } = this.#options;
    const group = {
      instance: this.instance,
      members: this.members,
      faults: this.faults,
      ...(genesis !== undefined && { genesis: genesis.root }),
    };
    const nonce = (): Bytes => {
      this.#nonces += 1;
      const bytes = new Uint8Array(16);
      new DataView(bytes.buffer).setUint32(0, this.#nonces);
      return bytes;
    };
    const parameters = { ...this.parameters, ...this.#options.ownParameters?.[index] };
    const rules = this.#rules;
    return {
      service,
      engine: new VrEngine(new Core({ group, index, service, parameters, rules, nonce })),
    };
  }

  primaryOf(view: number): number {
    return view % (this.parameters.witnesses ? this.faults + 1 : this.size);
  }

  node(index: number): Node {
    return this.nodes[index] as Node;
  }

  /** What the disks say of their tables when a member starts again. */
  tableDamage: readonly string[] = [];

  start(): void {
    for (const node of this.nodes) this.startNode(node.index);
  }

  startNode(index: number): void {
    const node = this.node(index);
    node.isUp = true;
    const { records, checkpoint } = node;
    const saved = checkpoint && { ...checkpoint, pages: [...checkpoint.pages.values()] };
    const isFirstStart = !node.hasStarted;
    const restored =
      isFirstStart && saved === undefined
        ? undefined
        : { records: [...records], checkpoint: saved, damage: this.tableDamage, isFirstStart };
    node.hasStarted = true;
    this.handle(node, { kind: 'start', restored });
  }

  /**
   * Everything that was not confirmed by the disk may be gone, and all memory is.
   * @param isThorough all of it is gone; otherwise some may have reached the disk all the same, in order.
   */
  crash(index: number, isThorough = false): void {
    const node = this.node(index);
    if (!node.isUp) return;
    const survivors = isThorough ? 0 : this.prng.below(node.unsynced.length + 1);
    for (const append of node.unsynced.slice(0, survivors)) this.#toDisk(node, append);
    Object.assign(node, this.#newEngine(index));
    node.isUp = false;
    node.life += 1;
    node.unsynced = [];
    node.appends = 0;
    node.durable = 0;
    node.isSyncing = false;
    node.waiting = [];
    node.timers = new Map();
    node.checkedTo = 0;
  }

  #toDisk(node: Node, { compact, records }: Unsynced): void {
    if (compact !== undefined) node.records = [...compact];
    node.records.push(...records);
  }

  nodeNow(index: number): number {
    return this.nowMs * (1 + (this.#options.driftPpm?.[index] ?? 0) / 1e6);
  }

  handle(node: Node, event: EngineEvent): void {
    this.#carryOut(node, node.engine.handle(event, this.nodeNow(node.index)));
    node.checkedTo = this.#checks.look(node.index, node.engine.core, node.checkedTo);
  }

  #carryOut(node: Node, effects: Effects): void {
    const { compact, records, sends, mark, save } = effects;
    if (compact !== undefined || records.length > 0) {
      node.unsynced.push({ compact, records });
      node.appends += 1;
    }
    for (const code of effects.counts) this.counts.set(code, (this.counts.get(code) ?? 0) + 1);
    for (const send of sends) if (send.isUrgent) this.#leave(node, send);
    node.waiting.push({ append: node.appends, sends: sends.filter((s) => !s.isUrgent), mark });
    for (const { name, atMs } of effects.timers) this.#setTimer(node, name, atMs);
    if (save !== undefined) {
      const { life } = node;
      this.after(this.prng.between(1, 4 * this.syncMsMax), () => {
        if (node.life !== life) return;
        const pages = save.isWhole
          ? new Map<string, PageChange>()
          : (node.checkpoint?.pages ?? new Map());
        const next = new Map(pages);
        for (const change of save.changes) {
          const key = `${change.region}/${change.page}`;
          if (change.bytes === undefined) next.delete(key);
          else next.set(key, change);
        }
        const { sequence, root, notes } = save;
        node.checkpoint = { sequence, root, notes, pages: next };
        this.handle(node, { kind: 'saved', sequence: save.sequence });
      });
    }
    this.#release(node);
    this.#sync(node);
  }

  #setTimer(node: Node, name: string, atMs: number | undefined): void {
    if (atMs === undefined) {
      node.timers.delete(name);
      return;
    }
    node.timers.set(name, atMs);
    const { life } = node;
    const common = atMs / (1 + (this.#options.driftPpm?.[node.index] ?? 0) / 1e6);
    this.#time.at(Math.max(this.nowMs, common), () => {
      if (node.life !== life || node.timers.get(name) !== atMs) return;
      node.timers.delete(name);
      this.handle(node, { kind: 'timer', name });
    });
  }

  #sync(node: Node): void {
    if (node.isSyncing || node.durable === node.appends || this.stalled.has(node.index)) return;
    node.isSyncing = true;
    const { life, appends } = node;
    this.after(this.prng.between(0, this.syncMsMax), () => {
      if (node.life !== life) return;
      node.isSyncing = false;
      for (const append of node.unsynced.splice(0, appends - node.durable)) {
        this.#toDisk(node, append);
      }
      node.durable = appends;
      this.#release(node);
      this.#sync(node);
    });
  }

  #release(node: Node): void {
    const { life } = node;
    while (node.life === life && node.waiting[0] !== undefined) {
      if (node.waiting[0].append > node.durable) return;
      const { sends, mark } = node.waiting.shift() as Waiting;
      for (const send of sends) {
        if (send.view === undefined || node.engine.isCurrent(send.view)) this.#leave(node, send);
      }
      if (mark !== undefined) this.handle(node, { kind: 'durable', mark });
    }
  }

  // ---- Network ----

  #leave(node: Node, send: Send): void {
    const { to } = send;
    const message = { name: send.name, value: send.value } as ReplicationMessage;
    const from: Sender = { kind: 'replica', index: node.index };
    if (to.kind === 'client') this.transmit({ from, to: to.key, message });
    else if (to.kind === 'replica') this.transmit({ from, to: to.index, message });
    else {
      for (const other of this.nodes) {
        if (other !== node) this.transmit({ from, to: other.index, message });
      }
    }
  }

  transmit(packet: Packet): void {
    this.sent += 1;
    if (!this.filter(packet)) return;
    const { from, to } = packet;
    if (from.kind === 'replica' && typeof to === 'number') {
      if (this.cut.has(from.index * this.size + to)) return;
    }
    // Changes nothing in the protocol: nothing is drawn for it, and a seed is the same run with it and without.
    if (packet.message.name === 'vrHello') return this.after(1, () => this.deliver(packet));
    if (this.prng.chance(this.lossPerMille, 1000)) return;
    this.deliverLater(packet);
    if (this.prng.chance(this.latePerMille, 1000)) {
      this.after(this.prng.between(30, 600), () => this.deliver(packet));
    }
    if (this.prng.chance(this.doublePerMille, 1000)) this.deliverLater(packet, 20);
  }

  deliverLater(packet: Packet, times = 1): void {
    const delayMs = this.prng.between(1, this.delayMsMax * times);
    this.after(delayMs, () => this.deliver(packet));
  }

  deliver({ from, to, message }: Packet): void {
    const taken = this.#options.isEncoded === true ? this.#throughTheWire(message) : message;
    if (typeof to === 'number') {
      const node = this.node(to);
      if (node.isUp) this.handle(node, { kind: 'message', from, message: taken });
    } else if (from.kind === 'replica') {
      const key = mapKey(to);
      this.clients.find((client) => client.key === key)?.receive(from.index, taken);
    }
  }

  #throughTheWire(message: ReplicationMessage): ReplicationMessage {
    const bytes = encodeReplicationMessage(message.name, message.value as never);
    const decoded = decodeReplicationMessage(replicationMessageNumber(message.name), bytes);
    if (decoded === undefined) throw new Violation(`${message.name} does not survive encoding`);
    return decoded;
  }

  /** Cuts the members named off from all others, both ways. */
  isolate(...indexes: readonly number[]): void {
    for (let i = 0; i < this.size; i++) {
      for (let j = 0; j < this.size; j++) {
        if (indexes.includes(i) !== indexes.includes(j)) this.cut.add(i * this.size + j);
      }
    }
  }

  // ---- Time ----

  get nowMs(): number {
    return this.#time.nowMs;
  }

  after(delayMs: number, run: () => void): void {
    this.#time.at(this.nowMs + delayMs, run);
  }

  /** Lets time pass; ends early when `isDone`. @returns whether it was. */
  run(forMs: number, isDone: () => boolean = () => false): boolean {
    return this.#time.run(forMs, isDone);
  }

  // ---- Ends ----

  /** After healing: all clients are answered, all members agree, and every answer is that of the one log. */
  checkEnd(): void {
    this.#checks.end(this.clients);
    const counts = this.nodes
      .filter(({ isUp, engine }) => isUp && !engine.core.isWitness)
      .map(({ service }) => service.count);
    if (new Set(counts).size > 1) throw new Violation(`states differ: ${counts}`);
  }

  get isSettled(): boolean {
    const states = this.nodes.filter(({ engine }) => !engine.core.isWitness);
    const [first] = states;
    return (
      this.nodes.every(({ engine }) => engine.core.status === 'normal') &&
      this.clients.every((client) => client.isIdle) &&
      states.every(
        ({ isUp, engine }) =>
          isUp &&
          engine.core.status === 'normal' &&
          engine.core.view === first?.engine.core.view &&
          engine.core.commit === engine.core.log.last &&
          engine.core.parts.execution.executed === engine.core.commit &&
          engine.core.commit === first?.engine.core.commit,
      )
    );
  }

  /** Everything works again, and all of it must come to rest. */
  heal(withinMs = 20_000): void {
    this.cut.clear();
    this.filter = () => true;
    this.lossPerMille = 0;
    this.doublePerMille = 0;
    for (const node of this.nodes) if (!node.isUp) this.startNode(node.index);
    if (!this.run(withinMs, () => this.isSettled)) {
      const views = this.nodes.map(({ index, engine: { core } }) => {
        const { status, view, commit, log, lastNormal } = core;
        return `${index}: ${status} ${view}/${lastNormal} ${commit}/${log.last}`;
      });
      const open = this.clients.map((client) => client.openCount);
      throw new Violation(`no progress: ${views.join(', ')}; open ${open}`);
    }
  }
}
