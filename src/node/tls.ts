// The one TLS setting of this project: version 1.3, Ed25519 at both ends, no session kept. A resumed session would let
// a peer in on what it once was; every connection proves its key anew.
import { constants } from 'node:crypto';
import type { CommonConnectionOptions, SecureContextOptions, TLSSocket } from 'node:tls';
import type { Bytes } from '../base/bytes.ts';
import { type CertificateRefusal, type Identity, type Proof, proofOf } from './identity.ts';

export const alpnProtocol = 'holdfast/1';

/** What both ends set. Certificates are not checked by TLS: whose key it is, `provenPeer` tells. */
export function tlsOptions(identity: Identity): SecureContextOptions & CommonConnectionOptions {
  return {
    cert: identity.certificatePem,
    key: identity.privateKeyPem,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    sigalgs: 'ed25519',
    ecdhCurve: 'X25519',
    secureOptions: constants.SSL_OP_NO_TICKET,
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: [alpnProtocol],
  };
}

export type TlsRefusal = 'wrong-protocol' | 'session-resumed' | CertificateRefusal;

/**
 * Who holds the other end of a socket whose handshake is done, or why it is not to be used.
 * @param system in which identities vouch for keys of channels; undefined where only identities themselves are taken.
 */
export function provenPeer(
  socket: TLSSocket,
  system?: Bytes,
): Proof | { readonly refusal: TlsRefusal } {
  if (socket.getProtocol() !== 'TLSv1.3' || socket.alpnProtocol !== alpnProtocol) {
    return { refusal: 'wrong-protocol' };
  }
  if (socket.isSessionReused()) return { refusal: 'session-resumed' };
  const proof = proofOf(socket.getPeerX509Certificate(), system);
  return typeof proof === 'string' ? { refusal: proof } : proof;
}
