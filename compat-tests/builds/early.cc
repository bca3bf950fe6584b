// A static object whose constructor opens a queue, before others', and whose destructor still
// sends to it.
#include <cstdlib>
#include <fcntl.h>
#include <mqueue.h>

struct Queue {
    mqd_t q;
    Queue() : q(mq_open("/early", O_RDWR | O_CREAT, 0600, static_cast<mq_attr *>(nullptr)))
    {
        send("early", 5);
    }
    ~Queue()
    {
        send("late", 4);
    }
    void send(const char *text, std::size_t size)
    {
        if (mq_send(q, text, size, 0) != 0)
            std::abort();
    }
};

__attribute__((init_priority(101))) static Queue queue;

int main()
{
    return 0;
}
