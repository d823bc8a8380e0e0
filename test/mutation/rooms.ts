/**
 * The mutated code, room by room, and the tests that have to notice. `database`: some of them need a real PostgreSQL.
 */
export const ROOMS = {
  domain: {
    mutate: ['domain/**/*.ts', 'config/keys/samples.ts'],
    tests: ['domain/**', 'config/keys'],
    database: false,
  },
  encoding: { mutate: ['encoding/**/*.ts'], tests: ['encoding/**'], database: false },
  providers: { mutate: ['providers/**/*.ts'], tests: ['providers/**', 'database/walls/vouched'], database: true },
  ledger: { mutate: ['ledger/*.ts'], tests: ['ledger/**', 'activities/deciding'], database: true },
} as const;
export type Room = keyof typeof ROOMS;
export const isRoom = (name: string): name is Room => Object.hasOwn(ROOMS, name);
