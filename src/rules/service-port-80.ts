import type { Rule, ServiceSubject } from './rule.ts'

export const servicePort80: Rule<ServiceSubject> = {
  id: 'service-port-80',
  kinds: ['convention'],
  defaults: { virtualHost: 'deny', other: 'off' },
  finds: 'A port of the virtual host is 80.',
  why:
    'On every other port a sidecar is given routes only for hosts that are Services. On port 80 it is given those of every ' +
    'VirtualService on the mesh, whether or not anything has the name, so hosts leak into each other and collide.',
  check: ({ service }) =>
    service.ports.flatMap(({ port }, index) =>
      port !== 80
        ? []
        : [
            {
              field: `spec.ports[${index}].port`,
              about: '80',
              problem: 'port 80 is not for virtual hosts',
              reason: 'sidecars mix the routes of every VirtualService on the mesh into port 80',
              fix: 'use another port, such as 8080, here, in match.port and in the callers',
            },
          ],
    ),
  portInCEL: (port) => `${port}.port == 80`,
}
