package ottla;

/** What is wrong, said as it is found. */
final class Findings {
    private int count;

    void add(Object where, String what) {
        count++;
        System.out.println("finding: " + where + ": " + what);
    }

    void check(boolean holds, Object where, String what) {
        if (!holds) add(where, what);
    }

    int count() {
        return count;
    }
}
