// Every command with its options and help. What a command does is loaded when it runs, so that help and completion are
// quick.

import { Command, Option } from 'commander';
import { serverSettings } from '../server/server-settings.ts';
import type { Context, GlobalOptions } from './context.ts';

const examples = `
Examples:
  holdfast dev                            a whole system on this machine
  holdfast put report.pdf                 store a file; prints its address
  holdfast get ADDRESS -o report.pdf      fetch it, verified
  echo on | holdfast write lights -       give a name a value
  holdfast read lights                    its latest value
  holdfast status                         how many more failures the system survives

Exit codes are listed in docs/ERRORS.md.`;

/** Builds a fresh command tree. `context` is what the actions run in. */
export function buildProgram(context: Context, version: string): Command {
  const program = new Command('holdfast')
    .description('Storage that survives broken, buggy and hacked machines.')
    .version(version, '--version', 'print the version')
    .option('--client <file>', 'client file (default: looked for, see docs/CLIENT.md)')
    .option('--timeout <duration>', 'longest time for one operation', '30s')
    .option('--json', 'answers and errors as JSON, one object per line', false)
    .option('--debug', 'tell which files are used, and show stacks of errors', false)
    .option('--quiet', 'print answers and errors only', false)
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', examples)
    .helpCommand('help [command]', 'help about a command')
    .showSuggestionAfterError();
  addDev(program, context);
  addData(program, context);
  addInspection(program, context);
  addKeys(program, context);
  addServer(program, context);
  addClient(program, context);
  addAuthority(program, context);
  addCompletion(program, context);
  return program;
}

const globals = <Options>(command: Command): Options & GlobalOptions =>
  command.optsWithGlobals<Options & GlobalOptions>();

function addDev(program: Command, context: Context): void {
  program
    .command('dev')
    .description('run a whole system on this machine, one process per server')
    .option('--servers <number>', 'how many servers; at least 4 (default: 4)')
    .option('--faults <number>', 'faulty servers to tolerate in each group (default: the most)')
    .option('--dir <folder>', 'folder of the system', '.holdfast')
    .option('--port <port>', 'first port; health is served 100 above (default: 7101)')
    .option('--temporary', 'in a new folder that is removed at the end', false)
    .action(async (_, command: Command) => {
      const { dev } = await import('./commands/dev.ts');
      await dev(context, { ...globals(command), isDirGiven: isGiven(command, 'dir') });
    });
}

const isGiven = (command: Command, option: string): boolean =>
  command.getOptionValueSource(option) === 'cli';

const keyOption = (): Option =>
  new Option('--key <name>', 'key that the name belongs to (default: the default key)');

const outputOption = (): Option =>
  new Option(
    '-o, --output <file>',
    'write to this file; it appears only when whole (needed with --json)',
  );

function addData(program: Command, context: Context): void {
  const load = () => import('./commands/data.ts');
  program
    .command('put')
    .description('store files; prints the address of each')
    .argument('<file...>', 'files to store; - is standard input')
    .action(async (files: string[], _, command: Command) =>
      (await load()).put(context, globals(command), files),
    );
  program
    .command('get')
    .description('fetch what an address names, verified')
    .argument('<address>', 'what put or write printed')
    .addOption(outputOption())
    .action(async (address: string, _, command: Command) =>
      (await load()).get(context, globals(command), address),
    );
  program
    .command('write')
    .description('give a name a new value')
    .argument('<name>', 'any text; names belong to your key')
    .argument('<file>', 'the value; - is standard input')
    .addOption(keyOption())
    .action(async (name: string, file: string, _, command: Command) =>
      (await load()).write(context, globals(command), name, file),
    );
  program
    .command('read')
    .description('the latest value of a name')
    .argument('<name>', 'a name under your key, or an address that write printed')
    .addOption(outputOption())
    .addOption(keyOption())
    .action(async (name: string, _, command: Command) =>
      (await load()).read(context, globals(command), name),
    );
}

function addInspection(program: Command, context: Context): void {
  const load = () => import('./commands/inspect.ts');
  program
    .command('status')
    .description('how the servers are, and how many more failures the system survives')
    .action(async (_, command: Command) => (await load()).status(context, globals(command)));
  program
    .command('verify')
    .description('check that every server holds what it should of one thing')
    .argument('<address|name>', 'what put or write printed, or a name under your key')
    .addOption(keyOption())
    .action(async (name: string, _, command: Command) =>
      (await load()).verify(context, globals(command), name),
    );
  program
    .command('evidence')
    .description('check offline what a replica has kept of provable faults')
    .argument('<file>', "a replica's data folder, or evidence.jsonl in it")
    .action(async (file: string, _, command: Command) => {
      const { evidence } = await import('./commands/evidence.ts');
      evidence(context, globals(command), file);
    });
}

function addKeys(program: Command, context: Context): void {
  const load = () => import('./commands/keys.ts');
  const key = program.command('key').description('the keys that names belong to');
  key
    .command('new')
    .description('make a key')
    .argument('<name>')
    .action(async (name: string, _, command: Command) =>
      (await load()).keyNew(context, globals(command), name),
    );
  key
    .command('list')
    .description('the keys in the client file')
    .action(async (_, command: Command) => (await load()).keyList(context, globals(command)));
  key
    .command('export')
    .description('print a key, which is secret')
    .argument('<name>')
    .action(async (name: string, _, command: Command) =>
      (await load()).keyExport(context, globals(command), name),
    );
  key
    .command('import')
    .description('add a key that was exported')
    .argument('<name>', 'what to call it here')
    .argument('[file]', 'the exported key; - is standard input', '-')
    .action(async (name: string, file: string, _, command: Command) =>
      (await load()).keyImport(context, globals(command), name, file),
    );
  key
    .command('default')
    .description('choose the key that is used without --key')
    .argument('<name>')
    .action(async (name: string, _, command: Command) =>
      (await load()).keyDefault(context, globals(command), name),
    );
}

function addServer(program: Command, context: Context): void {
  const server = program
    .command('server')
    .description('run one storage server, or prepare one')
    .helpCommand('help [command]', 'help about a command')
    .option('--config <file>', 'settings of the server', 'server.toml')
    .option('--recover', 'the data was lost: fetch it from the other servers first', false);
  for (const { flag, key, description } of serverSettings) {
    server.addOption(new Option(`${flag} <value>`, `${description} (${key})`));
  }
  server.action(async (options: Record<string, unknown>, command: Command) => {
    const loaded = await import('./commands/server.ts');
    const given = globals<{ config: string; recover: boolean }>(command);
    await loaded.server(context, { ...given, settings: loaded.settingsOf(options) });
  });
  const load = () => import('./commands/authority.ts');
  server
    .command('init')
    .description("make a server's key, settings, data folder and request")
    .requiredOption('--dir <folder>', 'folder of the server')
    .requiredOption('--host <host>', 'where clients and servers find it; fixed once admitted')
    .requiredOption('--port <port>', 'where clients and servers find it; fixed once admitted')
    .option('--name <name>', 'name for people (default: from host and port)')
    .option(
      '--listen-host <host>',
      'address to listen at (default: loopback if --host is, else all)',
    )
    .option('--admin-port <port>', 'port of health and metrics, on loopback', '7201')
    .action(async (_, command: Command) => (await load()).serverInit(context, globals(command)));
  server
    .command('accept')
    .description('put what the authority gave into its place')
    .requiredOption('--dir <folder>', 'folder of the server')
    .argument('<file>', 'NAME.admission')
    .action(async (file: string, _, command: Command) =>
      (await load()).serverAccept(context, globals(command), file),
    );
}

function addClient(program: Command, context: Context): void {
  const load = () => import('./commands/authority.ts');
  const client = program.command('client').description('prepare a client file');
  client
    .command('init')
    .description("make a client's keys and its request")
    .option('-o, --output <file>', 'client file to make', 'client.toml')
    .requiredOption('--name <name>', 'name for the authority')
    .action(async (_, command: Command) => (await load()).clientInit(context, globals(command)));
  client
    .command('accept')
    .description('put what the authority gave into the client file')
    .argument('<file>', 'NAME.admission')
    .action(async (file: string, _, command: Command) =>
      (await load()).clientAccept(context, globals(command), file),
    );
}

function addAuthority(program: Command, context: Context): void {
  const load = () => import('./commands/authority.ts');
  const authority = program
    .command('authority')
    .description('make a system and decide who belongs to it; runs offline');
  const dirOption = (): Option =>
    new Option('--dir <folder>', 'folder of the authority').default('authority');
  authority
    .command('init')
    .description('make a new system')
    .addOption(dirOption())
    .option('--name <name>', 'name of the system, for people', 'holdfast')
    .requiredOption('--faults <number>', 'faulty servers to tolerate in each group')
    .action(async (_, command: Command) => (await load()).authorityInit(context, globals(command)));
  authority
    .command('admit')
    .description('admit servers')
    .addOption(dirOption())
    .argument('<request...>', 'files that "holdfast server init" wrote')
    .action(async (files: string[], _, command: Command) =>
      (await load()).authorityAdmit(context, globals(command), files),
    );
  authority
    .command('genesis')
    .description('sign the configuration over the admitted servers')
    .addOption(dirOption())
    .action(async (_, command: Command) =>
      (await load()).authorityGenesis(context, globals(command)),
    );
  authority
    .command('client')
    .description('admit a client')
    .addOption(dirOption())
    .argument('[request]', 'file that "holdfast client init" wrote')
    .option('--new <name>', 'make the client and its keys here instead')
    .requiredOption('-o, --output <file>', 'admission file, or client file with --new')
    .option('--quota <size>', 'what it may store on each server; 0 leaves it to the servers', '0')
    .action(async (request: string | undefined, _, command: Command) =>
      (await load()).authorityClient(context, globals(command), request),
    );
  authority
    .command('list')
    .description('who belongs to the system')
    .addOption(dirOption())
    .action(async (_, command: Command) => (await load()).authorityList(context, globals(command)));
}

function addCompletion(program: Command, context: Context): void {
  program
    .command('completion')
    .description('completion script for a shell, to be sourced')
    .argument('<shell>', 'bash, zsh or fish')
    .action(async (shell: string) => {
      const { completionScript } = await import('./completion.ts');
      context.stdout.write(completionScript(program, shell));
    });
}
