// The import rules of docs/ARCHITECTURE.md, section "Folders". A folder may import itself, base, and what is listed.
const allowed = {
  base: [],
  env: [],
  wire: [],
  crypto: ['env', 'wire'],
  configuration: ['wire', 'crypto'],
  quorum: ['env', 'wire', 'crypto', 'configuration'],
  registers: ['env', 'wire', 'crypto', 'configuration'],
  dbqs: ['env', 'wire', 'crypto', 'configuration', 'quorum', 'registers'],
  replication: ['env', 'wire', 'crypto', 'quorum'],
  files: ['env', 'wire'],
  node: ['env', 'wire', 'crypto'],
  server: [
    'env',
    'wire',
    'crypto',
    'configuration',
    'quorum',
    'registers',
    'replication',
    'dbqs',
    'node',
  ],
  client: [
    'env',
    'wire',
    'crypto',
    'configuration',
    'quorum',
    'registers',
    'dbqs',
    'files',
    'node',
    'server',
  ],
  cli: ['server', 'client'],
};

const folderRules = Object.entries(allowed).map(([folder, targets]) => ({
  name: `imports-of-${folder}`,
  severity: 'error',
  comment: `src/${folder} may import: base, ${targets.join(', ') || 'nothing else'}`,
  from: { path: `^src/${folder}/`, pathNot: '\\.test\\.ts$' },
  to: {
    path: '^src/',
    pathNot: [
      `^src/(${[folder, 'base', ...targets].join('|')})/`,
      // Registers see of quorum only the contract, the arithmetic and the collector.
      ...(folder === 'registers'
        ? ['^src/quorum/(calls/contract|arithmetic|collector)\\.ts$']
        : []),
    ],
  },
}));

module.exports = {
  forbidden: [
    ...folderRules,
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'engines-know-nothing-of-each-other',
      severity: 'error',
      from: { path: '^src/replication/(pbft|vr)/' },
      to: { path: '^src/replication/(pbft|vr)/', pathNot: '^src/replication/$1/' },
    },
    {
      name: 'src-never-imports-testing',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.test\\.ts$' },
      to: { path: '^(testing|test|bench)/' },
    },
    {
      name: 'node-modules-only-at-the-edge',
      severity: 'error',
      comment: 'Protocol code reaches clock, disk, network and randomness through env/ only.',
      from: { path: '^src/', pathNot: ['^src/(node|server|client|cli)/', '\\.test\\.ts$'] },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?crypto$' },
    },
    {
      name: 'node-crypto-only-in-crypto',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(crypto|node|server|client|cli)/', '\\.test\\.ts$'] },
      to: { dependencyTypes: ['core'], path: '^(node:)?crypto$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] },
  },
};
