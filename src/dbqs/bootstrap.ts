// How a client that knows some addresses gets a configuration: it asks any server, since a configuration proves itself.

import type { Bytes } from '../base/bytes.ts';
import type { Cancellation } from '../base/cancellation.ts';
import type { Trust } from '../configuration/certificates.ts';
import {
  Configuration,
  type ConfigurationFault,
  type Member,
} from '../configuration/configuration.ts';
import type { Request } from '../quorum/calls/contract.ts';
import type { Exchange } from '../quorum/exchange.ts';
import { poll } from '../quorum/poll.ts';
import { encodeMessage, messageNumber } from '../wire/registry.ts';

/** The first valid configuration that one of `servers` gives, or what each of them did instead. */
export async function fetchConfiguration(
  exchange: Exchange,
  servers: readonly Member[],
  trust: Trust,
  signal: Cancellation,
): Promise<Configuration | Map<Member, ConfigurationFault | 'silent' | 'invalid'>> {
  const request = configurationRequest(trust.system, trust);
  const answers = await poll(exchange, servers, 0, request, signal, {
    enough: (answer) => 'said' in answer,
  });
  const faults = new Map<Member, ConfigurationFault | 'silent' | 'invalid'>();
  for (const server of servers) {
    const answer = answers.get(server.peer);
    if (answer !== undefined && 'said' in answer) return answer.said;
    if (answer !== undefined && 'invalid' in answer) faults.set(server, faultOf(answer.invalid));
    else faults.set(server, 'silent');
  }
  return faults;
}

function configurationRequest(system: Bytes, trust: Trust): Request<Configuration> {
  return {
    encode: ({ nonce }) => ({
      type: messageNumber('getConfiguration'),
      payload: encodeMessage('getConfiguration', { system, nonce }),
    }),
    accept(message) {
      if (message.name !== 'configuration') return { invalid: 'invalid' };
      const accepted = Configuration.accept(message.value.configuration, trust);
      return typeof accepted === 'string' ? { invalid: accepted } : { vote: accepted };
    },
  };
}

const configurationFaults: ReadonlySet<string> = new Set<ConfigurationFault>([
  'wrong-system',
  'bad-signature',
  'bad-member-certificate',
  'bad-member-field',
  'members-not-ascending',
  'duplicate-key',
  'root-mismatch',
  'count-mismatch',
  'bad-fault-bound',
  'too-few-active',
]);

function isConfigurationFault(reason: string): reason is ConfigurationFault {
  return configurationFaults.has(reason);
}

function faultOf(reason: string): ConfigurationFault | 'invalid' {
  return isConfigurationFault(reason) ? reason : 'invalid';
}
